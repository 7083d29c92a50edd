//! Secrets in Vault, against a double of its key-value store (version 2) on a loopback address: what is read and written,
//! and what is said when Vault refuses, is slow, or was changed by somebody else. `machines/vault` asks a real one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking and say what they skip"
)]

use imgbuild::base::hint::hints;
use imgbuild::base::private;
use imgbuild::base::process::Run;
use imgbuild::base::secret::{Secret, SecretBytes};
use imgbuild::secret::{Vault, VaultAccess};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TOKEN: &str = "hvs.a-token-that-must-not-be-shown";
const ROLE_TOKEN: &str = "hvs.a-token-of-the-role";

/// What the double does with requests about data.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Sound,
    /// Answers with this status, repeating the token as no Vault should.
    Status(u16),
    /// Somebody else writes just before each of our writes.
    Crowded,
    Silent,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    /// By path below the mount: version and fields; none of them when deleted.
    secrets: BTreeMap<String, (u64, Option<Value>)>,
    requests: Vec<String>,
}

/// A double of Vault's key-value store at `secret/`.
struct Double {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Double {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = State { mood: Mood::Sound, secrets: BTreeMap::new(), requests: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Self { address, state }
    }

    fn mood(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    fn paths(&self) -> Vec<String> {
        self.state.lock().unwrap().secrets.keys().cloned().collect()
    }

    fn access(&self) -> VaultAccess {
        VaultAccess {
            address: Some(self.address.clone()),
            token: Some(Secret::new(TOKEN.to_owned())),
            token_file: None,
            role: None,
            namespace: None,
            authority: None,
            patience: Duration::from_secs(20),
        }
    }

    fn open(&self) -> Vault {
        Vault::open("secret", "imgbuild/demo", &self.access()).unwrap()
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    let _ = reader.read_line(&mut first);
    let (mut length, mut token, mut namespace) = (0, String::new(), String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap(),
            "x-vault-token" => token = value.trim().to_owned(),
            "x-vault-namespace" => namespace = value.trim().to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut state = state.lock().unwrap();
    state.requests.push(format!("{namespace} {method} {path}"));
    if state.mood == Mood::Silent {
        drop(state);
        std::thread::sleep(Duration::from_secs(3));
        return;
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (status, answer) = answer(&mut state, method, path, &token, &body);
    let text = answer.to_string();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
}

fn answer(state: &mut State, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
    let path = path.strip_prefix("/v1/").unwrap_or_default();
    if path == "auth/approle/login" {
        let good = body["role_id"] == "the-role" && body["secret_id"] == "the-secret-id";
        return if good {
            (200, json!({"auth": {"client_token": ROLE_TOKEN}}))
        } else {
            (400, json!({"errors": ["invalid"]}))
        };
    }
    if token != TOKEN && token != ROLE_TOKEN {
        return (403, json!({"errors": ["permission denied"]}));
    }
    if let Mood::Status(status) = state.mood {
        return (status, json!({"errors": [format!("no, {token}")]}));
    }
    if let Some(folder) = path.strip_prefix("secret/metadata/").and_then(|path| path.strip_suffix("?list=true")) {
        let below = format!("{folder}/");
        let keys: Vec<&str> = state.secrets.keys().filter_map(|path| path.strip_prefix(&below)).collect();
        return if keys.is_empty() { (404, json!({"errors": []})) } else { (200, json!({"data": {"keys": keys}})) };
    }
    let Some(path) = path.strip_prefix("secret/data/") else {
        return (404, json!({"errors": ["no handler for route"]}));
    };
    let entry = state.secrets.get(path).cloned();
    match (method, entry) {
        ("GET", None) => (404, json!({"errors": []})),
        ("GET", Some((version, None))) => {
            (404, json!({"data": {"data": null, "metadata": {"version": version, "deletion_time": "then"}}}))
        }
        ("GET", Some((version, Some(data)))) => {
            (200, json!({"data": {"data": data, "metadata": {"version": version}}}))
        }
        (_, entry) => {
            let version = entry.map_or(0, |(version, _)| version) + u64::from(state.mood == Mood::Crowded);
            if body["options"]["cas"].as_u64() != Some(version) {
                return (400, json!({"errors": ["check-and-set parameter did not match the current version"]}));
            }
            state.secrets.insert(path.to_owned(), (version + 1, Some(body["data"].clone())));
            (200, json!({"data": {"version": version + 1}}))
        }
    }
}

/// A project whose cluster keeps its secrets in Vault once they are moved there.
struct Project {
    folder: tempfile::TempDir,
    double: Double,
}

impl Project {
    fn new() -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap(), double: Double::start() };
        project.document(false);
        project
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The document of `demo`, with or without saying that its secrets are in Vault.
    fn document(&self, vault: bool) {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("seeds/demo/cluster.yaml");
        let text = fs::read_to_string(file).unwrap();
        let more = if vault { "\nsecrets: {vault: {path: imgbuild/demo}}\n" } else { "" };
        fs::create_dir_all(self.at("seeds/demo")).unwrap();
        fs::write(self.at("seeds/demo/cluster.yaml"), format!("{text}{more}")).unwrap();
    }

    fn run(&self, line: &str, variables: &[(&str, &str)]) -> Output {
        let run = Run::new(env!("CARGO_BIN_EXE_imgbuild")).arg("-C").arg(self.folder.path());
        let run = run.arg("--cache").arg(self.at("cache")).env("VAULT_ADDR", &self.double.address);
        let run = run.env("NO_PROXY", "127.0.0.1").env("HOME", self.folder.path());
        let run = variables.iter().fold(run, |run, (name, value)| run.env(name, value));
        run.args(line.split_whitespace()).output().unwrap()
    }

    fn done(&self, line: &str) -> String {
        let output = self.run(line, &[("VAULT_TOKEN", TOKEN)]);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{line}: {said}");
        assert!(!said.contains(TOKEN), "{line}: {said}");
        said
    }

    fn refused(&self, line: &str, variables: &[(&str, &str)]) -> String {
        let output = self.run(line, variables);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        assert!(!said.contains(TOKEN) && !said.contains("the-secret-id"), "{line}: {said}");
        said.replace(&*self.folder.path().to_string_lossy(), "HERE").replace(&self.double.address, "VAULT")
    }
}

#[test]
fn secrets_move_into_vault_and_back_and_are_used_there() {
    let project = Project::new();
    let folder = project.at("seeds/demo/secrets");
    project.done("secrets make demo");
    let files = private::read(&folder).unwrap().unwrap();
    let token = [("VAULT_TOKEN", TOKEN)];
    let said = project.refused("secrets move demo --to vault", &token);
    let expected = "error: the document of demo does not say where in Vault its secrets are\n\
                    hint: add `secrets: {vault: {path: imgbuild/demo}}` to it\n";
    assert_eq!(said, expected);
    project.document(true);
    let said = project.refused("secrets show demo", &token);
    assert!(
        said.contains(
            "says that its secrets are in Vault, and they are beside it\nhint: `imgbuild secrets move demo --to vault`"
        ),
        "{said}"
    );
    let said = project.done("secrets move demo --to vault");
    assert!(said.contains("the secrets of demo are in secret/imgbuild/demo in Vault"), "{said}");
    assert!(!folder.exists());
    assert_eq!(project.double.open().read().unwrap().unwrap(), files);
    assert_eq!(project.double.paths().len(), 1 + 12);
    project.done("secrets make demo");
    project.done("secrets renew demo worker1/kubelet-client");
    let said = project.done("-v secrets show demo");
    assert!(said.contains("master1/etcd-server") && !folder.exists(), "{said}");
    let renewed = project.double.open().read().unwrap().unwrap();
    let differ: Vec<&String> = files.iter().filter(|(path, bytes)| renewed[*path] != **bytes).map(|(p, _)| p).collect();
    assert_eq!(differ, ["nodes/worker1/kubelet-client.crt"]);
    let said = project.done("secrets move demo --to files");
    assert!(said.contains("they are still in Vault; take `secrets:` out of the document now"), "{said}");
    project.document(false);
    assert_eq!(private::read(&folder).unwrap().unwrap(), renewed);
    project.done("secrets make demo");
    // What is in Vault and is another cluster's is not replaced.
    let other = Project::new();
    other.done("secrets make demo");
    other.document(true);
    let address = project.double.address.clone();
    let said = other.refused("secrets move demo --to vault", &[("VAULT_TOKEN", TOKEN), ("VAULT_ADDR", &address)]);
    assert!(said.contains("holds something else than the secrets of demo"), "{said}");
}

#[test]
fn an_empty_vault_is_no_reason_for_new_secrets() {
    let project = Project::new();
    project.document(true);
    project.done("secrets make demo");
    project.double.state.lock().unwrap().secrets.clear();
    let said = project.refused("secrets make demo", &[("VAULT_TOKEN", TOKEN)]);
    assert!(said.starts_with("error: the secrets of demo (") && said.contains("record.json names them"), "{said}");
}

#[test]
fn people_without_a_token_are_told_how_to_get_one() {
    let project = Project::new();
    project.document(true);
    let line = "secrets show demo";
    let expected = "error: nothing says who asks Vault at VAULT\n\
                    hint: set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID for AppRole, or run `vault login`\n";
    assert_eq!(project.refused(line, &[]), expected);
    let said = project.refused(line, &[("VAULT_ADDR", "")]);
    assert!(
        said.starts_with("error: the secrets are in Vault, and nothing says where it is\nhint: set VAULT_ADDR"),
        "{said}"
    );
    let said = project.refused(line, &[("VAULT_ADDR", "http://vault.example:8200"), ("VAULT_TOKEN", TOKEN)]);
    assert!(said.contains("would cross the network in the clear"), "{said}");
    let said = project.refused(line, &[("VAULT_TOKEN", "other")]);
    assert!(
        said.contains(
            "refuses secret/data/imgbuild/demo/cluster (403): permission denied\nhint: the token needs a policy"
        ),
        "{said}"
    );
    let role = [("VAULT_ROLE_ID", "the-role"), ("VAULT_SECRET_ID", "the-secret-id"), ("VAULT_NAMESPACE", "team")];
    let said = project.refused(line, &role);
    assert!(said.contains("error: demo has no secrets yet"), "{said}");
    let requests = project.double.state.lock().unwrap().requests.clone();
    assert!(requests.iter().any(|request| request == "team POST /v1/auth/approle/login"), "{requests:?}");
    let said = project.refused(line, &[("VAULT_ROLE_ID", "the-role"), ("VAULT_SECRET_ID", "used up")]);
    assert!(said.contains("gives the role no token (400)\nhint: look at VAULT_ROLE_ID"), "{said}");
    // What `vault login` left, if nobody else can read it.
    fs::write(project.at(".vault-token"), TOKEN).unwrap();
    let said = project.refused(line, &[]);
    assert!(said.contains(".vault-token can be read by others"), "{said}");
    private_mode(&project.at(".vault-token"));
    assert!(project.refused(line, &[]).contains("error: demo has no secrets yet"));
}

fn private_mode(path: &std::path::Path) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

fn some() -> private::PrivateFiles {
    let file = |path: &str, bytes: &[u8]| (path.to_owned(), SecretBytes::new(bytes.to_vec()));
    [file("corosync.key", &[0xff; 256]), file("seed.pub", b"x\n"), file("nodes/a/key", b"text\n")].into()
}

#[test]
fn writes_replace_only_what_was_read() {
    let double = Double::start();
    let vault = double.open();
    assert_eq!(vault.read().unwrap(), None);
    vault.write(&some()).unwrap();
    assert_eq!(double.open().read().unwrap(), Some(some()));
    assert_eq!(double.paths(), ["imgbuild/demo/cluster", "imgbuild/demo/nodes/a"]);
    // The same again writes nothing.
    let before = double.state.lock().unwrap().requests.len();
    vault.write(&some()).unwrap();
    let requests = double.state.lock().unwrap().requests[before..].to_vec();
    assert!(requests.iter().all(|request| request.contains(" GET ")), "{requests:?}");
    let mut changed = some();
    changed.insert("seed.pub".to_owned(), SecretBytes::new(b"y\n".to_vec()));
    double.mood(Mood::Crowded);
    let error = double.open().write(&changed).unwrap_err();
    let expected =
        "secret/data/imgbuild/demo/cluster in Vault was changed by somebody else meanwhile (it is no longer version 1)";
    assert_eq!(error.to_string(), expected);
    assert_eq!(hints(&error), ["run the command again: it begins with what is there now"]);
    double.mood(Mood::Sound);
    double.open().write(&changed).unwrap();
    assert_eq!(double.open().read().unwrap(), Some(changed));
    // What was deleted is not taken for absent.
    double.state.lock().unwrap().secrets.insert("imgbuild/demo/nodes/a".to_owned(), (2, None));
    let error = double.open().read().unwrap_err();
    assert_eq!(error.to_string(), "secret/imgbuild/demo/nodes/a was deleted in Vault (version 2)");
    assert!(hints(&error)[0].contains("vault kv undelete -mount=secret -versions=2 imgbuild/demo/nodes/a"));
}

#[test]
fn refusals_of_every_kind_have_their_remedy_and_show_no_token() {
    let double = Double::start();
    double.open().write(&some()).unwrap();
    let cases = [
        (Mood::Status(403), "(403)", "policy"),
        (Mood::Status(500), "(500)", "Vault's own log; nothing was changed"),
        (Mood::Status(502), "(502)", "Vault's own log"),
        (Mood::Status(503), "(503)", "it may be sealed: `vault status`"),
        (Mood::Status(302), "(302)", "Vault's own log"),
    ];
    for (mood, expected, remedy) in cases {
        double.mood(mood);
        let error = double.open().read().unwrap_err();
        let (text, hints) = (format!("{error:#} {error:?}"), hints(&error));
        assert!(text.contains(expected) && text.contains("no, ***") && !text.contains(TOKEN), "{text}");
        assert!(hints[0].contains(remedy), "{hints:?}");
    }
    double.mood(Mood::Sound);
    let elsewhere = Vault::open("kv", "imgbuild/demo", &double.access()).unwrap();
    // A store that is not there looks as an empty one does when it is read; a write tells them apart.
    let error = elsewhere.write(&some()).unwrap_err();
    assert!(error.to_string().contains("refuses kv/data/imgbuild/demo/cluster (404): no handler for route"), "{error}");
    assert!(hints(&error)[0].starts_with("is `kv` a key-value store of version 2?"));
    double.mood(Mood::Silent);
    let slow = VaultAccess { patience: Duration::from_millis(300), ..double.access() };
    let error = Vault::open("secret", "imgbuild/demo", &slow).unwrap().read().unwrap_err();
    assert!(format!("{error:#}").ends_with("it did not answer in time"), "{error:#}");
    let closed = VaultAccess { address: Some("http://127.0.0.1:9".to_owned()), ..double.access() };
    let error = Vault::open("secret", "imgbuild/demo", &closed).unwrap().read().unwrap_err();
    assert!(
        format!("{error:#}").contains("asking Vault: GET http://127.0.0.1:9/v1/secret/data/imgbuild/demo/cluster: "),
        "{error:#}"
    );
    assert!(hints(&error)[0].contains("VAULT_ADDR"));
}
