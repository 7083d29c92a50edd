//! The forms of documents: an undefined value is an error with file and line, nothing is escaped, final newlines stay.

use crate::base::hint::hinted;
use anyhow::Result;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, syntax::SyntaxConfig};
use std::net::IpAddr;

/// A template as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateText {
    /// How it is named: `haproxy.cfg` for `haproxy.cfg.j2`.
    pub name: String,
    /// How messages name its file.
    pub shown: String,
    /// Its text.
    pub text: String,
}

/// All templates, ready to be rendered.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    shown: std::collections::BTreeMap<String, String>,
}

impl Templates {
    /// Reads templates; none of them may be broken.
    ///
    /// # Errors
    /// The first whose syntax is wrong, with file and line.
    pub fn new(texts: Vec<TemplateText>) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        // So that an error names what is undefined. Its report shows values, secret ones too: only the detail is printed.
        environment.set_debug(true);
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| anyhow::anyhow!("setting up templates: {}", error.kind()))?);
        environment.add_filter("quote", quote);
        environment.add_filter("host", host);
        let mut shown = std::collections::BTreeMap::new();
        for TemplateText { name, shown: path, text } in texts {
            environment.add_template_owned(name.clone(), text).map_err(|error| explain(&error, &path))?;
            shown.insert(name, path);
        }
        Ok(Self { environment, shown })
    }

    /// Renders one.
    ///
    /// # Errors
    /// When the template asks for what is not there, with file and line.
    pub(super) fn render(&self, name: &str, context: Value) -> Result<String> {
        let path = self.shown.get(name).map_or(name, String::as_str);
        let template = self.environment.get_template(name).map_err(|error| explain(&error, path))?;
        template.render(context).map_err(|error| explain(&error, path))
    }
}

fn explain(error: &minijinja::Error, path: &str) -> anyhow::Error {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let place = error.line().map_or_else(|| path.to_owned(), |line| format!("{path}:{line}"));
    hinted(
        format!("{place}: {what}"),
        format!("compare it with the built-in template of the same name, or remove {path} to use that"),
    )
}

/// A text in quotation marks, as YAML, JSON and TOML all read it.
fn quote(text: &Value) -> Result<String, minijinja::Error> {
    let text =
        text.as_str().ok_or_else(|| minijinja::Error::new(ErrorKind::InvalidOperation, "`quote` wants a text"))?;
    serde_json::to_string(text).map_err(|_| minijinja::Error::new(ErrorKind::InvalidOperation, "`quote` wants a text"))
}

/// An address as it stands before `:` and a port.
fn host(text: &Value) -> Result<String, minijinja::Error> {
    let address: Option<IpAddr> = text.as_str().and_then(|text| text.parse().ok());
    match address {
        Some(IpAddr::V4(address)) => Ok(address.to_string()),
        Some(IpAddr::V6(address)) => Ok(format!("[{address}]")),
        None => Err(minijinja::Error::new(ErrorKind::InvalidOperation, "`host` wants an address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hint::hints;
    use minijinja::context;

    fn template(text: &str) -> Result<Templates> {
        let (name, shown) = ("x.conf".to_owned(), "seeds/templates/x.conf.j2".to_owned());
        Templates::new(vec![TemplateText { name, shown, text: text.to_owned() }])
    }

    #[test]
    fn faults_name_file_and_line_and_no_value() {
        let fault = template("a\n{{ node.nmae }} {{ password }}\n").unwrap();
        let fault = fault.render("x.conf", context! { node => context! { name => "a" }, password => "hunter2" });
        let fault = fault.unwrap_err();
        assert!(fault.to_string().starts_with("seeds/templates/x.conf.j2:2: "), "{fault}");
        assert!(format!("{fault:#}").contains("nmae") && !format!("{fault:#?}").contains("hunter2"), "{fault:#}");
        assert!(hints(&fault)[0].contains("remove seeds/templates/x.conf.j2"));
        let fault = template("a\nb\n{{ oops\n").unwrap_err();
        assert!(fault.to_string().starts_with("seeds/templates/x.conf.j2:3: "), "{fault}");
    }

    #[test]
    fn texts_are_quoted_and_addresses_bracketed() {
        let templates = template("{{ text | quote }} {{ v4 | host }} {{ v6 | host }}\n").unwrap();
        let out = templates.render("x.conf", context! { text => "a: \"b\"\n", v4 => "10.0.0.1", v6 => "fd00::1" });
        assert_eq!(out.unwrap(), "\"a: \\\"b\\\"\\n\" 10.0.0.1 [fd00::1]\n");
        assert!(templates.render("x.conf", context! { text => 1, v4 => "x", v6 => "x" }).is_err());
    }
}
