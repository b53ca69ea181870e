//! Every step made to fail, and weir-control stopped after every step.

use super::*;

/// Commands that fail, by a part of them; and what was called.
#[derive(Default)]
struct World {
    fails: Vec<&'static str>,
    calls: Vec<String>,
    guest_is_there: bool,
    vfs_here: usize,
    vfs_there: usize,
}

impl World {
    fn call(&mut self, what: String) -> Result<(), String> {
        let fails = self.fails.iter().position(|part| what.contains(part));
        self.calls.push(what);
        match fails {
            Some(index) => Err(format!("{} failed", self.fails.remove(index))),
            None => Ok(()),
        }
    }
}

impl Runner for &mut World {
    fn run(&mut self, command: &[&str], _: Option<&str>) -> Result<String, VirshError> {
        let line = command.join(" ");
        if line.contains("domstate") {
            return Ok(if self.guest_is_there {
                "running\n"
            } else {
                "shut off\n"
            }
            .to_owned());
        }
        self.call(line.clone()).map_err(|message| VirshError::Refused {
            command: line.clone(),
            message,
        })?;
        if line.starts_with("virsh migrate") {
            assert_eq!(self.vfs_here, 0, "a guest with VFs does not move");
            self.guest_is_there = true;
        } else if line.contains("migrate") {
            assert_eq!(self.vfs_there, 0, "a guest with VFs does not move");
            self.guest_is_there = false;
        } else if line.contains("sriov attach") {
            self.vfs_there = 1;
        } else if line.contains("sriov detach") {
            self.vfs_there = 0;
        }
        Ok(String::new())
    }
}

struct Ours<'a>(&'a std::cell::RefCell<World>);

impl Here for Ours<'_> {
    fn detach(&mut self, _: &Allocation) -> Result<(), String> {
        let mut world = self.0.borrow_mut();
        world.call("detach here".into())?;
        world.vfs_here = 0;
        Ok(())
    }

    fn attach(&mut self, _: &Allocation) -> Result<(), String> {
        let mut world = self.0.borrow_mut();
        world.call("attach here".into())?;
        assert!(!world.guest_is_there);
        world.vfs_here = 1;
        Ok(())
    }
}

struct Shell<'a>(&'a std::cell::RefCell<World>);

impl Runner for Shell<'_> {
    fn run(&mut self, command: &[&str], input: Option<&str>) -> Result<String, VirshError> {
        (&mut *self.0.borrow_mut()).run(command, input)
    }
}

fn vf() -> Allocation {
    Allocation {
        guest: "web1".into(),
        pf: "0000:41:00.0".into(),
        vf: 3,
        address: "0000:41:10.6".into(),
        through: Through::Libvirt,
    }
}

fn run(world: &std::cell::RefCell<World>, directory: &Path) -> Result<(), MigrateError> {
    migrate(
        &mut Ours(world),
        &mut Shell(world),
        directory,
        "web1",
        "host2",
        vec![vf()],
    )
}

#[test]
fn a_guest_moves() {
    let directory = tempfile::tempdir().unwrap();
    let world = std::cell::RefCell::new(World {
        vfs_here: 1,
        ..World::default()
    });
    run(&world, directory.path()).unwrap();
    let world = world.into_inner();
    assert!(world.guest_is_there && world.vfs_there == 1 && world.vfs_here == 0);
    assert_eq!(
        world.calls,
        [
            "detach here",
            "virsh migrate web1 qemu+ssh://host2/system --live --persistent --undefinesource",
            "ssh host2 weirctl sriov attach web1 --count 1",
        ]
    );
    assert!(!journal_path(directory.path(), "web1").exists());
}

#[test]
fn what_fails_is_rolled_back() {
    for step in ["detach here", "virsh migrate", "sriov attach"] {
        let directory = tempfile::tempdir().unwrap();
        let world = std::cell::RefCell::new(World {
            vfs_here: 1,
            fails: vec![step],
            ..World::default()
        });
        let error = run(&world, directory.path()).unwrap_err();
        assert!(
            matches!(error, MigrateError::RolledBack { .. }),
            "{step}: {error}"
        );
        let world = world.into_inner();
        assert!(
            !world.guest_is_there && world.vfs_here == 1 && world.vfs_there == 0,
            "{step}"
        );
        assert!(!journal_path(directory.path(), "web1").exists());
    }
}

#[test]
fn a_roll_back_that_fails_is_taken_up_by_the_same_command() {
    for fails in [
        vec!["virsh migrate", "attach here"],
        vec!["sriov attach", "virsh -c"],
        vec!["sriov attach", "sriov detach"],
        vec!["sriov attach", "attach here"],
    ] {
        let directory = tempfile::tempdir().unwrap();
        let world = std::cell::RefCell::new(World {
            vfs_here: 1,
            fails: fails.clone(),
            ..World::default()
        });
        let error = run(&world, directory.path()).unwrap_err();
        assert!(matches!(error, MigrateError::Stuck { .. }), "{fails:?}: {error}");
        run(&world, directory.path()).unwrap_or_else(|error| panic!("{fails:?}: {error}"));
        let world = world.into_inner();
        assert!(
            world.guest_is_there && world.vfs_there == 1 && world.vfs_here == 0,
            "{fails:?}"
        );
    }
}

#[test]
fn stopped_after_any_step_it_goes_on() {
    for (stage, there) in [
        (Stage::Detaching, false),
        (Stage::Detached, false),
        (Stage::Detached, true),
        (Stage::Moved, true),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal {
            guest: "web1".into(),
            to: "host2".into(),
            stage,
            vfs: vec![vf()],
        };
        keep(&journal_path(directory.path(), "web1"), &journal).unwrap();
        let vfs_here = usize::from(stage == Stage::Detaching);
        let world = std::cell::RefCell::new(World {
            guest_is_there: there,
            vfs_here,
            ..World::default()
        });
        let elsewhere = migrate(
            &mut Ours(&world),
            &mut Shell(&world),
            directory.path(),
            "web1",
            "host3",
            Vec::new(),
        );
        assert!(matches!(elsewhere, Err(MigrateError::Elsewhere { .. })));
        run(&world, directory.path()).unwrap();
        let world = world.into_inner();
        assert!(
            world.guest_is_there && world.vfs_there == 1 && world.vfs_here == 0,
            "{stage:?}"
        );
    }
}

#[test]
fn a_guest_without_libvirt_stays() {
    let directory = tempfile::tempdir().unwrap();
    let world = std::cell::RefCell::new(World {
        vfs_here: 1,
        ..World::default()
    });
    let vf = Allocation {
        through: Through::Qmp("/run/web1.qmp".into()),
        ..vf()
    };
    let moved = migrate(
        &mut Ours(&world),
        &mut Shell(&world),
        directory.path(),
        "web1",
        "host2",
        vec![vf],
    );
    assert!(matches!(moved, Err(MigrateError::NotLibvirt(_))));
    assert!(world.into_inner().calls.is_empty());
}
