//! Programs that are run when something changes: a list of the program's path and its arguments, without a shell.

use std::path::Path;

use crate::reader::{Fields, Problem};

/// The words of such a program; empty: none.
pub(crate) fn read(fields: &Fields<'_, '_>, name: &str) -> Vec<String> {
    let words = fields.list(name, |text| {
        if text.contains('\0') {
            return Err(Problem::new("a zero byte in an argument", "leave it out"));
        }
        Ok(text.to_owned())
    });
    let words = words.unwrap_or_default();
    if let Some(program) = words.first()
        && !Path::new(&program.value).is_absolute()
    {
        fields.context.error(
            program.span.clone(),
            format!("\"{}\" is not an absolute path", program.value.escape_debug()),
            "write the whole path of the program first, then its arguments, each a text of its own: there is no shell",
        );
    }
    words.into_iter().map(|word| word.value).collect()
}
