//! Where a value is in the document, written as people write it: `apps.web.waves[1].select`.

use std::fmt;

/// A place in the document, linked to its parent; it costs nothing until it is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'a> {
    /// The document itself.
    Root,
    /// A field or an entry of a mapping.
    Field(&'a Path<'a>, &'a str),
    /// An entry of a list.
    Item(&'a Path<'a>, usize),
    /// A path that is already written out.
    Whole(&'a str),
}

impl<'a> Path<'a> {
    pub(crate) const fn field(&'a self, name: &'a str) -> Path<'a> {
        Path::Field(self, name)
    }

    pub(crate) const fn item(&'a self, index: usize) -> Path<'a> {
        Path::Item(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Whole(text) => f.write_str(text),
            Path::Field(Path::Root, name) => write_name(f, name),
            Path::Field(parent, name) => {
                write!(f, "{parent}.")?;
                write_name(f, name)
            }
            Path::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Names come from the file: one with other than plain characters is quoted.
fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '@');
    if !name.is_empty() && name.chars().count() <= 80 && name.chars().all(plain) {
        f.write_str(name)
    } else {
        f.write_str(&crate::problem::quoted(name))
    }
}
