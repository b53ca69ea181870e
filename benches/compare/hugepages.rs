//! Takes huge pages of 2 MiB from the system and gives them back, whatever way the run ends (but SIGKILL).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::trouble::{Outcome, Trouble};

const POOL: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";
const PAGE_MB: u64 = 2;
/// How often more is asked for.
const ATTEMPTS: u32 = 8;
/// And after how many times the page cache is given up for it.
const FORGET_AFTER: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

/// The pool of huge pages, restored when dropped.
#[derive(Debug)]
pub(crate) struct HugePages {
    pool: PathBuf,
    before: u64,
    /// The machine's own pool, not a test's.
    is_systems: bool,
}

impl HugePages {
    /// Notes how many there are.
    pub(crate) fn borrow() -> Outcome<Self> {
        Self::of(Path::new(POOL))
    }

    fn of(pool: &Path) -> Outcome<Self> {
        Ok(Self {
            pool: pool.to_owned(),
            is_systems: pool == Path::new(POOL),
            before: read(&pool.join("nr_hugepages"))?,
        })
    }

    /// Sees to it that `need_mb` are free. What the kernel cannot give is trouble.
    pub(crate) fn provide(&self, need_mb: u64) -> Outcome<()> {
        let need = need_mb.div_ceil(PAGE_MB);
        let mut free = read(&self.pool.join("free_hugepages"))?;
        let wanted = read(&self.pool.join("nr_hugepages"))?.saturating_sub(free) + need;
        for attempt in 0..ATTEMPTS {
            if free >= need {
                return Ok(());
            }
            if attempt > 0 {
                self.make_room(attempt);
            }
            self.set(wanted)?;
            free = read(&self.pool.join("free_hugepages"))?;
        }
        if free >= need {
            return Ok(());
        }
        self.restore();
        Err(Trouble::Machine(format!(
            "{need_mb} MiB of huge pages wanted, the kernel found {}; free memory, or leave the larger flow counts out (--flows)",
            free * PAGE_MB
        )))
    }

    /// Memory is there but in pieces: the kernel is asked to move them together, and at last to forget what it has read of files.
    fn make_room(&self, attempt: u32) {
        let file = match attempt {
            0..FORGET_AFTER => "/proc/sys/vm/compact_memory",
            FORGET_AFTER.. => "/proc/sys/vm/drop_caches",
        };
        // Without it there are fewer pages, which is told.
        if self.is_systems {
            let _ = fs::write(file, "1");
            std::thread::sleep(PAUSE);
        }
    }

    /// As many as there were before.
    pub(crate) fn restore(&self) {
        if let Err(trouble) = self.set(self.before) {
            eprintln!(
                "giving huge pages back: {trouble}; echo {} > {}/nr_hugepages",
                self.before,
                self.pool.display()
            );
        }
    }

    fn set(&self, pages: u64) -> Outcome<()> {
        let file = self.pool.join("nr_hugepages");
        fs::write(&file, pages.to_string()).map_err(Trouble::system(format!("writing {}", file.display())))
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        self.restore();
    }
}

fn read(file: &Path) -> Outcome<u64> {
    let text = fs::read_to_string(file).map_err(Trouble::system(format!(
        "reading {}; does this kernel have huge pages?",
        file.display()
    )))?;
    text.trim()
        .parse()
        .map_err(|_| Trouble::Machine(format!("{} holds no number", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_given_back() {
        let pool = tempfile::tempdir().expect("a directory");
        let total = pool.path().join("nr_hugepages");
        fs::write(&total, "7\n").expect("writable");
        fs::write(pool.path().join("free_hugepages"), "5\n").expect("writable");
        let pages = HugePages::of(pool.path()).expect("a pool");
        pages.provide(10).expect("enough are free");
        assert_eq!(read(&total).ok(), Some(7), "nothing was needed");
        // The pool here does not grow: this machine has no more.
        assert!(pages.provide(100).is_err());
        assert_eq!(read(&total).ok(), Some(7), "given back at once");
        fs::write(&total, "50").expect("writable");
        drop(pages);
        assert_eq!(read(&total).ok(), Some(7), "given back at the end");
    }
}
