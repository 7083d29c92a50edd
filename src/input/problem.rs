//! Everything that is wrong with the documents, in one value: place, excerpt, suggestion and remedy of each problem.

use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// How the names of embedded documents begin.
pub(crate) const BUILTIN: &str = "builtin:";

/// Excerpts are cut here, so that a hostile line of a megabyte does not fill the terminal (characters).
const EXCERPT_WIDTH: usize = 160;

/// A place in a document; line and column count from 1, columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Index in the table of documents that were read.
    pub(crate) file: u32,
    /// From 1; 0 stands for the document as a whole.
    pub(crate) line: u32,
    /// From 1.
    pub(crate) column: u32,
    /// Characters to underline, at least 1.
    pub(crate) width: u32,
}

/// The documents that were read, for excerpts.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    files: Vec<Arc<Document>>,
}

/// One text that was read, by the name that messages use.
#[derive(Debug)]
struct Document {
    name: String,
    text: String,
}

impl Documents {
    /// Keeps a text and gives the number that [`Place::file`] refers to.
    pub(crate) fn add(&mut self, name: &str, text: &str) -> u32 {
        self.files.push(Arc::new(Document { name: name.to_owned(), text: text.to_owned() }));
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    fn is_builtin(&self, place: Place) -> bool {
        self.get(place.file).is_some_and(|document| document.name.starts_with(BUILTIN))
    }

    fn get(&self, file: u32) -> Option<&Document> {
        self.files.get(usize::try_from(file).ok()?).map(Arc::as_ref)
    }
}

/// One problem, before its place is looked up.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
    pub(crate) remedy: Option<String>,
    /// Where else it could be shown: what a project wrote is shown rather than what is built in.
    pub(crate) elsewhere: Vec<Place>,
    /// Whether the line holds a secret, which must not reach a log.
    pub(crate) hidden: bool,
}

impl Fault {
    pub(crate) fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), suggestion: None, remedy: None, elsewhere: Vec::new(), hidden: false }
    }

    /// Another place that takes part in it.
    pub(crate) fn or(mut self, place: Place) -> Self {
        self.elsewhere.push(place);
        self
    }

    /// The word that was probably meant.
    pub(crate) fn suggest(mut self, word: Option<impl Into<String>>) -> Self {
        self.suggestion = word.map(Into::into);
        self
    }

    /// Shows the place without its text.
    pub(crate) fn hide(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// What to do about it.
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        self.remedy = Some(text.into());
        self
    }
}

/// One problem of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The document, relative to the project (`roles/haproxy/role.yaml`, `builtin:recipes/debian-trixie.yaml`),
    /// or where else the mistake was made (`command line`).
    pub file: String,
    /// From 1; absent when the document as a whole is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// From 1, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What is wrong, as a fact.
    pub message: String,
    /// The line itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// Characters underlined in the excerpt, from `column` on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// The word that was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// All problems that were found together. `Display` gives the text that a person reads, without colour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Problems {
    /// In order of file, line and column.
    pub problems: Vec<Problem>,
}

impl std::error::Error for Problems {}

impl Problems {
    pub(crate) fn of(mut faults: Vec<Fault>, documents: &Documents) -> Self {
        for fault in &mut faults {
            if documents.is_builtin(fault.place)
                && let Some(place) = fault.elsewhere.iter().find(|place| !documents.is_builtin(**place))
            {
                fault.place = *place;
            }
        }
        faults.sort_by_key(|fault| fault.place);
        let mut problems: Vec<Problem> = faults.into_iter().map(|fault| resolve(fault, documents)).collect();
        problems.dedup();
        Self { problems }
    }

    /// One problem that has no line: a file that cannot be read, an argument.
    pub(crate) fn single(file: &str, message: impl Into<String>, remedy: Option<String>) -> Self {
        Self { problems: vec![Problem::whole(file, message.into(), None, remedy)] }
    }

    /// Takes over those of another; each is kept once.
    pub(crate) fn merge(&mut self, other: Self) {
        for problem in other.problems {
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
    }
}

impl Problem {
    pub(crate) fn whole(file: &str, message: String, suggestion: Option<String>, remedy: Option<String>) -> Self {
        let file = file.to_owned();
        Self { file, line: None, column: None, message, excerpt: None, width: None, suggestion, remedy }
    }
}

fn resolve(fault: Fault, documents: &Documents) -> Problem {
    let Fault { place, message, suggestion, remedy, hidden, .. } = fault;
    let Some(document) = documents.get(place.file) else {
        return Problem::whole("command line", message, suggestion, remedy);
    };
    if place.line == 0 {
        return Problem::whole(&document.name, message, suggestion, remedy);
    }
    let at = usize::try_from(place.line).unwrap_or(usize::MAX).saturating_sub(1);
    let text = document.text.lines().nth(at).unwrap_or("");
    let excerpt: String = text.chars().take(EXCERPT_WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
    Problem {
        file: document.name.clone(),
        line: Some(place.line),
        column: Some(place.column),
        message,
        excerpt: (!hidden).then_some(excerpt),
        width: Some(place.width.max(1)),
        suggestion,
        remedy,
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let (Some(line), Some(column), Some(excerpt)) = (self.line, self.column, &self.excerpt) {
            let margin = line.to_string();
            let blank = " ".repeat(margin.len());
            write!(f, "\n {blank} |\n {margin} | {}", excerpt.trim_end())?;
            let before = usize::try_from(column).unwrap_or(1).saturating_sub(1);
            let length = excerpt.chars().count();
            if before <= length {
                let width = usize::try_from(self.width.unwrap_or(1)).unwrap_or(1).min((length - before).max(1));
                write!(f, "\n {blank} | {}{}", " ".repeat(before), "^".repeat(width))?;
            }
        }
        if let Some(word) = &self.suggestion {
            write!(f, "\nhint: did you mean `{word}`?")?;
        }
        if let Some(text) = &self.remedy {
            write!(f, "\nhint: {text}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{problem}")?;
        }
        if self.problems.len() > 1 {
            write!(f, "\n\n{} problems", self.problems.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents() -> Documents {
        let mut documents = Documents::default();
        documents.add("roles/demo/role.yaml", "version: 1\npakages: [haproxy]\n");
        documents
    }

    #[test]
    fn problem_with_place_shows_excerpt_caret_and_hints() {
        let place = Place { file: 0, line: 2, column: 1, width: 7 };
        let fault = Fault::new(place, "unknown key `pakages`").suggest(Some("packages")).hint("see `imgbuild init`");
        let text = Problems::of(vec![fault], &documents()).to_string();
        let wanted = "roles/demo/role.yaml:2:1: unknown key `pakages`\n   |\n 2 | pakages: [haproxy]\n   | ^^^^^^^\n\
                      hint: did you mean `packages`?\nhint: see `imgbuild init`";
        assert_eq!(text, wanted);
    }

    #[test]
    fn problems_are_ordered_by_place_and_counted() {
        let at = |line| Place { file: 0, line, column: 1, width: 1 };
        let problems = Problems::of(vec![Fault::new(at(2), "second"), Fault::new(at(1), "first")], &documents());
        let messages: Vec<&str> = problems.problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, ["first", "second"]);
        assert!(problems.to_string().ends_with("\n\n2 problems"));
    }

    #[test]
    fn place_outside_the_text_shows_no_caret_and_does_not_panic() {
        let place = Place { file: 0, line: 99, column: 4_000_000, width: u32::MAX };
        let text = Problems::of(vec![Fault::new(place, "odd")], &documents()).to_string();
        assert!(text.starts_with("roles/demo/role.yaml:99:4000000: odd"), "{text}");
    }
}
