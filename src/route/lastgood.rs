//! The last good table on disk, so that a node serves without its control plane (R76).
//!
//! One line of JSON says format, revision, length and SHA-256 of the second line, which holds the
//! rows and the addresses their host names stood for. The file is replaced whole: written aside,
//! synced, renamed, and the folder synced. Changes are added at its end, each as such a pair of lines: a table of
//! 100,000 instances is not written again for each of them. It holds private keys and is readable by its owner only.
//! The one place of the pure rooms that touches files; called by `control::watch`.

use super::resolved::Resolved;
use crate::ids::InstanceId;
use crate::licence::Book;
use crate::model::{Certificate, Instance, Proxy, Table, Users};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// The version of this file's shape.
const FORMAT: u32 = 2;
/// The version before: without changes at its end.
const WHOLE: u32 = 1;
/// Bytes of the first line. Length and hash are known when the second has been written.
const HEADER: usize = 192;
/// Bytes written at once.
const BUFFER: usize = 1 << 16;

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LastGood {
    /// The rows, at their revision.
    pub table: Arc<Table>,
    /// What their host names stood for.
    #[serde(default)]
    pub resolved: Resolved,
    /// Unix seconds at which it was known to be the newest.
    #[serde(default)]
    pub fresh_at: u64,
}

/// Changes of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Change {
    /// The revision they lead to.
    pub revision: u64,
    /// As in [`LastGood`].
    pub fresh_at: u64,
    /// Rows of instances; none where one is gone.
    #[serde(default)]
    pub instances: BTreeMap<InstanceId, Option<Arc<Instance>>>,
    /// Lists of users; none where one is gone.
    #[serde(default)]
    pub users: BTreeMap<InstanceId, Option<Arc<Users>>>,
    /// All proxies, if one changed.
    #[serde(default)]
    pub proxies: Option<Vec<Arc<Proxy>>>,
    /// All certificates, if one changed.
    #[serde(default)]
    pub certificates: Option<Vec<Arc<Certificate>>>,
    /// The licence book, if it changed.
    #[serde(default)]
    pub book: Option<Arc<Book>>,
    /// What host names stand for now; nothing where it is not known.
    #[serde(default)]
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    revision: u64,
    length: usize,
    sha256: String,
}

/// Why there is no last good table.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read; `NotFound` on the first start.
    #[error("the last good table cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is not one, or of a later version of this program.
    #[error("the last good table is unusable: {0}")]
    Format(String),
    /// The file was changed or cut short after it was written.
    #[error("the last good table is damaged: {0}")]
    Damaged(&'static str),
}

impl Change {
    /// Takes up a later one.
    pub fn join(&mut self, later: Self) {
        let Self { revision, fresh_at, instances, users, proxies, certificates, book, hosts } = later;
        (self.revision, self.fresh_at) = (revision, fresh_at);
        self.instances.extend(instances);
        self.users.extend(users);
        self.hosts.extend(hosts);
        self.proxies = proxies.or(self.proxies.take());
        self.certificates = certificates.or(self.certificates.take());
        self.book = book.or(self.book.take());
    }
}

/// Passes on what is written, and counts and hashes it.
struct Seal<W> {
    to: W,
    length: usize,
    hash: Sha256,
}

impl<W: Write> Write for Seal<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.length += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Replaces the file at `path`; returns its length.
pub fn save(path: &Path, last: &LastGood) -> io::Result<u64> {
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    let length = write(&mut file, last.table.revision, last)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(length)
}

/// Adds a change to the file at `path`; returns its length then.
pub fn append(path: &Path, change: &Change) -> io::Result<u64> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let length = write(&mut file, change.revision, change)?;
    file.sync_data()?;
    Ok(length)
}

/// Writes two lines at the end of a file; the first one last, when the second is on the disk, so that what was cut
/// short is told from what was damaged.
fn write<T: Serialize>(file: &mut File, revision: u64, body: &T) -> io::Result<u64> {
    let begin = file.seek(SeekFrom::End(0))?;
    file.write_all(&[b' '; HEADER])?;
    let seal = Seal { to: &mut *file, length: 0, hash: Sha256::new() };
    let mut to = BufWriter::with_capacity(BUFFER, seal);
    serde_json::to_writer(&mut to, body)?;
    let Seal { length, hash, .. } = to.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.write_all(b"\n")?;
    file.sync_data()?;
    let header = Header { format: FORMAT, revision, length, sha256: hex(&hash.finalize()) };
    let mut line = serde_json::to_vec(&header)?;
    line.resize(HEADER - 1, b' ');
    line.push(b'\n');
    let end = file.stream_position()?;
    file.seek(SeekFrom::Start(begin))?;
    file.write_all(&line)?;
    Ok(end)
}

/// Reads the file at `path` and checks that it is as it was written. A change at its end that was cut short, as by a
/// loss of power, is left out.
pub fn load(path: &Path) -> Result<LastGood, LoadError> {
    let bytes = fs::read(path)?;
    let (mut last, mut rest): (LastGood, _) = read(&bytes)?;
    let mut changes = Vec::new();
    while !rest.is_empty() {
        // The first line of a change is written last: without it the change was never acknowledged.
        let begun = rest.iter().take(HEADER).all(|byte| *byte == b' ' || *byte == 0);
        match read::<Change>(rest) {
            Ok((change, after)) => {
                changes.push(change);
                rest = after;
            }
            Err(_) if begun => break,
            Err(LoadError::Format(_)) => return Err(LoadError::Damaged("a change at its end cannot be read")),
            Err(error) => return Err(error),
        }
    }
    if !changes.is_empty() {
        apply(&mut last, changes);
    }
    Ok(last)
}

/// Reads two lines; returns what is behind them.
fn read<T: for<'a> Deserialize<'a> + Revision>(bytes: &[u8]) -> Result<(T, &[u8]), LoadError> {
    let end = memchr::memchr(b'\n', bytes).ok_or(LoadError::Damaged("it has no header"))?;
    let (header, rest) = bytes.split_at(end);
    let header: Header = serde_json::from_slice(header).map_err(|error| LoadError::Format(error.to_string()))?;
    if !(WHOLE..=FORMAT).contains(&header.format) {
        return Err(LoadError::Format(format!("its format is {}, known is {FORMAT}", header.format)));
    }
    let (body, rest) = rest
        .get(1..)
        .and_then(|rest| rest.split_at_checked(header.length))
        .ok_or(LoadError::Damaged("its length is wrong"))?;
    let rest = rest.strip_prefix(b"\n").ok_or(LoadError::Damaged("its length is wrong"))?;
    if hex(&Sha256::digest(body)) != header.sha256 {
        return Err(LoadError::Damaged("its checksum is wrong"));
    }
    let read: T = serde_json::from_slice(body).map_err(|error| LoadError::Format(error.to_string()))?;
    if read.revision() != header.revision {
        return Err(LoadError::Damaged("its revision is wrong"));
    }
    Ok((read, rest))
}

/// What has a revision in its header.
trait Revision {
    fn revision(&self) -> u64;
}

impl Revision for LastGood {
    fn revision(&self) -> u64 {
        self.table.revision
    }
}

impl Revision for Change {
    fn revision(&self) -> u64 {
        self.revision
    }
}

fn apply(last: &mut LastGood, changes: Vec<Change>) {
    let table = Arc::make_mut(&mut last.table);
    let mut instances: BTreeMap<_, _> = table.instances.drain(..).map(|row| (row.id, row)).collect();
    let mut users: BTreeMap<_, _> = table.users.drain(..).map(|row| (row.instance, row)).collect();
    for change in changes {
        put(&mut instances, change.instances);
        put(&mut users, change.users);
        table.proxies = change.proxies.unwrap_or(std::mem::take(&mut table.proxies));
        table.certificates = change.certificates.unwrap_or(std::mem::take(&mut table.certificates));
        table.book = change.book.unwrap_or_else(|| Arc::clone(&table.book));
        for (host, addresses) in change.hosts {
            if addresses.is_empty() {
                last.resolved.forget(&host);
            } else {
                last.resolved.set(&host, addresses);
            }
        }
        (table.revision, last.fresh_at) = (change.revision, change.fresh_at);
    }
    (table.instances, table.users) = (instances.into_values().collect(), users.into_values().collect());
}

fn put<T>(rows: &mut BTreeMap<InstanceId, Arc<T>>, changes: BTreeMap<InstanceId, Option<Arc<T>>>) {
    for (id, row) in changes {
        match row {
            Some(row) => drop(rows.insert(id, row)),
            None => drop(rows.remove(&id)),
        }
    }
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::testing::{certificate, instance, proxy, table};
    use std::os::unix::fs::PermissionsExt;

    fn last() -> LastGood {
        let mut table = table([instance(1, "acme")], [proxy(1, "front")]);
        table.revision = 42;
        table.certificates.push(Arc::new(certificate("own", &["pbx.example"])));
        let mut resolved = Resolved::default();
        resolved.set("pbx.internal", vec!["192.0.2.1".parse().unwrap()]);
        LastGood { table: Arc::new(table), resolved, fresh_at: 1_700_000_000 }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        // R76
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lastgood.json");
        assert!(matches!(load(&path), Err(LoadError::Io(error)) if error.kind() == io::ErrorKind::NotFound));
        let mut last = last();
        save(&path, &last).unwrap();
        assert_eq!(load(&path).unwrap(), last);
        Arc::make_mut(&mut last.table).revision = 43;
        save(&path, &last).unwrap();
        assert_eq!(load(&path).unwrap().table.revision, 43);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");
    }

    #[test]
    fn a_damaged_file_is_told_from_a_good_one() {
        // R76
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lastgood.json");
        save(&path, &last()).unwrap();
        let good = fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(37) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(load(&path).is_err(), "a changed bit in byte {at} of {}", good.len());
            fs::write(&path, &good[..at]).unwrap();
            assert!(load(&path).is_err(), "cut after {at} bytes");
        }
        fs::write(&path, [good.as_slice(), b"{}\n"].concat()).unwrap();
        assert!(matches!(load(&path), Err(LoadError::Damaged(_))));
        fs::write(&path, good).unwrap();
        assert!(load(&path).is_ok());
    }

    #[test]
    fn changes_are_added_and_one_that_was_cut_short_is_left_out() {
        // R76
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lastgood.json");
        let mut last = last();
        save(&path, &last).unwrap();
        let row = |id: u32, name: &str| (InstanceId(id), Some(Arc::new(instance(id, name))));
        let first = Change {
            revision: 43,
            fresh_at: 1,
            instances: [row(1, "acme2"), row(2, "two")].into(),
            hosts: [("pbx.internal".into(), Vec::new()), ("b.internal".into(), vec!["192.0.2.9".parse().unwrap()])]
                .into(),
            ..Change::default()
        };
        let base = fs::metadata(&path).unwrap().len();
        let length = append(&path, &first).unwrap();
        assert_eq!(length, fs::metadata(&path).unwrap().len());
        let second = Change { revision: 44, proxies: Some(Vec::new()), ..Change::default() };
        let second = Change { instances: [(InstanceId(1), None), row(3, "three")].into(), ..second };
        append(&path, &second).unwrap();
        let all = load(&path).unwrap();
        let names: Vec<_> = all.table.instances.iter().map(|row| row.name.as_str()).collect();
        assert_eq!((names, all.table.revision, all.table.proxies.len()), (vec!["two", "three"], 44, 0));
        assert_eq!(all.table.certificates, last.table.certificates);
        assert_eq!(all.resolved.get("b.internal").len(), 1);
        assert!(all.resolved.get("pbx.internal").is_empty());
        // Both at once are the same.
        let mut joined = first;
        joined.join(second);
        apply(&mut last, vec![joined]);
        assert_eq!(last, all);
        let whole = fs::read(&path).unwrap();
        // Cut short before its first line was written.
        let mut cut = whole[..usize::try_from(length).unwrap()].to_vec();
        cut.extend([b' '; HEADER]);
        cut.extend(b"{\"revision\":44");
        fs::write(&path, &cut).unwrap();
        assert_eq!(load(&path).unwrap().table.revision, 43);
        // A change that was acknowledged and is not as it was written.
        for at in (usize::try_from(base).unwrap()..whole.len()).step_by(37) {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let blank = whole[at] == b' ';
            assert!(blank || load(&path).is_err(), "a changed bit in byte {at} of {}", whole.len());
        }
    }
}
