//! Reads one TOML table into typed values and collects every fault on the way.
//!
//! serde stops at the first error and loses positions inside tagged enums, so the tables are walked by hand: each section lists its
//! keys once ([`Section`]), which serves the "did you mean" of an unknown key, the defaults in the reference page, and the readers.

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::report::{Diagnostic, diagnose};
use crate::section::{Key, Section};
use crate::suggest;

/// A value and where it stands in the file.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// Why a text is not the value it should be.
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}

/// Collects the faults of one file.
pub(crate) struct Context<'s> {
    file: &'s str,
    source: &'s str,
    /// Every section there is, for help about a key that stands in the wrong one.
    sections: &'static [&'static Section],
    faults: RefCell<Vec<(usize, Diagnostic)>>,
}

/// More faults than anyone reads; also bounds the work on a hostile file.
const FAULTS_MAX: usize = 100;

impl<'s> Context<'s> {
    pub(crate) fn new(file: &'s str, source: &'s str, sections: &'static [&'static Section]) -> Self {
        Self {
            file,
            source,
            sections,
            faults: RefCell::new(Vec::new()),
        }
    }

    pub(crate) fn error(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        let mut faults = self.faults.borrow_mut();
        if faults.len() < FAULTS_MAX {
            let start = span.start;
            faults.push((
                start,
                diagnose(self.file, self.source, span, message.into(), help.into()),
            ));
        }
    }

    /// Whether some fault already names `key`.
    pub(crate) fn mentions(&self, key: &str) -> bool {
        let quoted = format!("`{key}`");
        self.faults
            .borrow()
            .iter()
            .any(|(_, fault)| fault.message.contains(&quoted))
    }

    pub(crate) fn count(&self) -> usize {
        self.faults.borrow().len()
    }

    pub(crate) fn line_of(&self, span: &Range<usize>) -> usize {
        self.source.as_bytes()[..span.start.min(self.source.len())]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count()
            + 1
    }

    /// The faults in file order.
    pub(crate) fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut faults = self.faults.into_inner();
        faults.sort_by_key(|(start, _)| *start);
        faults.into_iter().map(|(_, diagnostic)| diagnostic).collect()
    }
}

/// A table being read.
#[derive(Clone)]
pub(crate) struct Fields<'a, 's> {
    pub(crate) context: &'a Context<'s>,
    table: &'a DeTable<'s>,
    section: &'static Section,
    /// Where the table begins, for faults about what is missing.
    pub(crate) span: Range<usize>,
}

/// One entry of an array of tables: its place, and its value unless something in it was wrong.
pub(crate) struct Read<'a, 's, T> {
    pub(crate) fields: Fields<'a, 's>,
    pub(crate) value: Option<T>,
}

impl<'a, 's> Fields<'a, 's> {
    /// Starts on a table; unknown keys are reported at once.
    pub(crate) fn new(
        context: &'a Context<'s>,
        section: &'static Section,
        table: &'a DeTable<'s>,
        span: Range<usize>,
    ) -> Self {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !section.keys.iter().any(|known| known.name == name) {
                let message = format!("unknown key `{name}` in {}", section.header);
                context.error(key.span(), message, suggest::key(name, section, context.sections));
            }
        }
        Self {
            context,
            table,
            section,
            span,
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a Spanned<DeValue<'s>>> {
        debug_assert!(
            self.section.keys.iter().any(|known| known.name == name),
            "{name} is not listed in {}",
            self.section.header
        );
        self.table.get(name)
    }

    /// Where a key's value stands, or the table's beginning when the key is absent.
    pub(crate) fn span_of(&self, name: &str) -> Range<usize> {
        self.get(name).map_or_else(|| self.span.clone(), Spanned::span)
    }

    /// Where the value of `key` stands in table number `index` of the array of tables `name`.
    pub(crate) fn span_in(&self, name: &str, index: usize, key: &str) -> Range<usize> {
        let entry = self.get(name).and_then(|array| array.get_ref().get(index));
        let table = entry.and_then(|entry| entry.get_ref().as_table());
        let value = table.and_then(|table| table.get(key));
        value.map_or_else(|| self.span_of(name), Spanned::span)
    }

    /// Where entry number `index` of the list `name` stands.
    pub(crate) fn span_at(&self, name: &str, index: usize) -> Range<usize> {
        let entry = self
            .get(name)
            .and_then(|list| list.get_ref().as_array())
            .and_then(|list| list.get(index));
        entry.map_or_else(|| self.span_of(name), Spanned::span)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn key(&self, name: &str) -> &'static Key {
        let found = self.section.keys.iter().find(|known| known.name == name);
        found.unwrap_or(&self.section.keys[0])
    }

    fn wrong_type(&self, name: &str, value: &Spanned<DeValue<'s>>, help: String) {
        let message = format!(
            "`{name}` must be {}, not {}",
            self.key(name).kind,
            describe(value.get_ref())
        );
        self.context.error(value.span(), message, help);
    }

    pub(crate) fn missing(&self, name: &str) {
        let key = self.key(name);
        let message = format!("{} has no `{name}`", self.section.header);
        self.context.error(
            self.span.clone(),
            message,
            format!("add `{name} = …`: {}; {}", key.kind, key.meaning),
        );
    }

    pub(crate) fn string(&self, name: &str) -> Option<At<&'a str>> {
        let value = self.get(name)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(name, value, quote_help(name, value.get_ref()));
            return None;
        };
        Some(At {
            value: text,
            span: value.span(),
        })
    }

    pub(crate) fn required_string(&self, name: &str) -> Option<At<&'a str>> {
        if !self.has(name) {
            self.missing(name);
        }
        self.string(name)
    }

    /// A text turned into a value by `parse`.
    pub(crate) fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, Problem>) -> Option<At<T>> {
        self.convert(self.string(name)?, parse)
    }

    pub(crate) fn required<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<At<T>> {
        self.convert(self.required_string(name)?, parse)
    }

    fn convert<T>(&self, text: At<&str>, parse: impl Fn(&str) -> Result<T, Problem>) -> Option<At<T>> {
        match parse(text.value) {
            Ok(value) => Some(At {
                value,
                span: text.span,
            }),
            Err(problem) => {
                self.context.error(text.span, problem.message, problem.help);
                None
            }
        }
    }

    /// A word out of a fixed list.
    pub(crate) fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Option<T> {
        self.parsed(name, |text| word(name, text, words))
            .map(|found| found.value)
    }

    pub(crate) fn boolean(&self, name: &str) -> Option<bool> {
        let value = self.get(name)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            self.wrong_type(
                name,
                value,
                format!("write `{name} = true` or `{name} = false`, without quotes"),
            );
        }
        found
    }

    pub(crate) fn integer<T: TryFrom<u64>>(&self, name: &str, range: RangeInclusive<u64>) -> Option<T> {
        let value = self.get(name)?;
        self.number(name, value, range)
    }

    /// A whole number that may be below zero.
    pub(crate) fn signed<T: TryFrom<i64>>(&self, name: &str, range: RangeInclusive<i64>) -> Option<T> {
        let value = self.get(name)?;
        let parsed = value.get_ref().as_integer().and_then(|number| {
            let wide = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
            i64::try_from(wide).ok()
        });
        let found = parsed
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok());
        if found.is_none() {
            let (low, high) = (range.start(), range.end());
            self.context.error(
                value.span(),
                format!("`{name}` is not a number from {low} to {high}"),
                format!("use a whole number from {low} to {high}, without quotes"),
            );
        }
        found
    }

    fn number<T: TryFrom<u64>>(
        &self,
        name: &str,
        value: &Spanned<DeValue<'s>>,
        range: RangeInclusive<u64>,
    ) -> Option<T> {
        let (low, high) = (range.start(), range.end());
        let Some(number) = value.get_ref().as_integer() else {
            self.wrong_type(
                name,
                value,
                format!("write a whole number from {low} to {high}, without quotes"),
            );
            return None;
        };
        let parsed = i128::from_str_radix(number.as_str(), number.radix())
            .ok()
            .and_then(|wide| u64::try_from(wide).ok());
        match parsed
            .filter(|inside| range.contains(inside))
            .and_then(|inside| T::try_from(inside).ok())
        {
            Some(inside) => Some(inside),
            None => {
                let message = format!("`{name}` is {number}, which is out of range");
                self.context.error(
                    value.span(),
                    message,
                    format!("use a number from {low} to {high}"),
                );
                None
            }
        }
    }

    /// A list of whole numbers, each with its place.
    pub(crate) fn integers<T: TryFrom<u64>>(
        &self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Option<Vec<At<T>>> {
        let items = self.items(name)?;
        let read = items.iter().filter_map(|item| {
            Some(At {
                value: self.number(name, item, range.clone())?,
                span: item.span(),
            })
        });
        Some(read.collect())
    }

    /// A list of texts, each turned into a value.
    pub(crate) fn list<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Vec<At<T>>> {
        let items = self.items(name)?;
        Some(
            items
                .iter()
                .filter_map(|item| self.item(name, item, &parse))
                .collect(),
        )
    }

    /// One text, or a list of them.
    pub(crate) fn one_or_many<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Vec<At<T>>> {
        match self.get(name)?.get_ref() {
            DeValue::Array(_) => self.list(name, parse),
            _ => self.parsed(name, parse).map(|one| vec![one]),
        }
    }

    pub(crate) fn items(&self, name: &str) -> Option<&'a [Spanned<DeValue<'s>>]> {
        let value = self.get(name)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(name, value, format!("write a list: {name} = [ … ]"));
            return None;
        };
        Some(array)
    }

    pub(crate) fn item<T>(
        &self,
        name: &str,
        item: &Spanned<DeValue<'s>>,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<At<T>> {
        let Some(text) = item.get_ref().as_str() else {
            let message = format!(
                "an entry of `{name}` must be a text, not {}",
                describe(item.get_ref())
            );
            self.context
                .error(item.span(), message, quote_help(name, item.get_ref()));
            return None;
        };
        self.convert(
            At {
                value: text,
                span: item.span(),
            },
            parse,
        )
    }

    /// A table below this one.
    pub(crate) fn table(&self, name: &str, section: &'static Section) -> Option<Self> {
        let value = self.get(name)?;
        let Some(table) = value.get_ref().as_table() else {
            let keys: Vec<_> = section.keys.iter().map(|key| key.name).collect();
            self.wrong_type(
                name,
                value,
                format!(
                    "write a table: {name} = {{ … }} with the keys {}",
                    keys.join(", ")
                ),
            );
            return None;
        };
        Some(Fields::new(self.context, section, table, value.span()))
    }

    /// The tables of an array of tables.
    pub(crate) fn tables(&self, name: &str, section: &'static Section) -> Vec<Self> {
        let Some(value) = self.get(name) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            let message = format!(
                "`{name}` must be written {}, because there may be several",
                section.header
            );
            self.context.error(
                value.span(),
                message,
                format!("start each one with the line {}", section.header),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in array {
            match item.get_ref().as_table() {
                Some(table) => tables.push(Fields::new(self.context, section, table, item.span())),
                None => {
                    let message = format!(
                        "an entry of `{name}` must be a table, not {}",
                        describe(item.get_ref())
                    );
                    self.context
                        .error(item.span(), message, format!("write it as {}", section.header));
                }
            }
        }
        tables
    }
}

/// Finds `text` in a list of words.
pub(crate) fn word<T: Copy>(name: &str, text: &str, words: &[(&str, T)]) -> Result<T, Problem> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let help = match suggest::nearest(text, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"? `{name}` is one of {}", known.join(", ")),
        None => format!("`{name}` is one of {}", known.join(", ")),
    };
    Err(Problem::new(format!("`{name}` cannot be \"{text}\""), help))
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text \"{}\"", text.chars().take(60).collect::<String>()),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(flag) => format!("{flag}"),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn quote_help(name: &str, value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => format!("put it in quotes: \"{number}\""),
        DeValue::Float(number) => format!("put it in quotes: \"{}\"", number.as_str()),
        DeValue::Boolean(flag) => format!("put it in quotes: \"{flag}\""),
        DeValue::String(_) | DeValue::Datetime(_) => format!("write {name} = \"…\""),
        DeValue::Array(_) => format!("write one text: {name} = \"…\", not a list"),
        DeValue::Table(_) => format!("write {name} = \"…\", not a table"),
    }
}
