//! The folder of one run: the tenants in each system's own form, the configurations, the certificate, and the
//! product's data with a licence.

use crate::backend;
use crate::systems::System;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Seats of each tenant.
const SEATS: usize = 20;

pub struct Data {
    dir: tempfile::TempDir,
    pub tenants: usize,
    pub binary: PathBuf,
}

impl Data {
    /// Everything that the systems read, for so many tenants.
    pub fn write(tenants: usize, binary: &Path) -> Self {
        let it = Self { dir: tempfile::tempdir().unwrap(), tenants, binary: binary.to_owned() };
        it.certificate();
        it.tables();
        it.configurations(1);
        fs::create_dir(it.path("nginx")).unwrap();
        it.product();
        it
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn certificate(&self) {
        let names = ["*.pbx.example".to_owned(), "pbx.example".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        fs::write(self.path("cert.pem"), &cert).unwrap();
        fs::write(self.path("key.pem"), &key).unwrap();
        fs::write(self.path("both.pem"), cert + &key).unwrap();
    }

    fn tables(&self) {
        let columns = "id(int,auto) key_name(string) key_type(int) value_type(int) key_value(string) expires(int)\n";
        let (mut pbx, mut booked) = (columns.to_owned(), columns.to_owned());
        let (mut haproxy, mut nginx, mut ours) = (String::new(), String::new(), String::new());
        for tenant in 0..self.tenants {
            let (name, group, row) = (format!("t{tenant:05}"), tenant % 4, tenant + 1);
            let (sip, web) = (backend::SIP[group], backend::WEB[group]);
            pbx += &format!("{row}:{name}.pbx.example:0:0:sip\\:127.0.0.1\\:{sip}:0\n");
            booked += &format!("{row}:{name}.pbx.example:0:1:{SEATS}:0\n");
            haproxy += &format!("{name}.pbx.example pbx{group}\n");
            nginx += &format!("{name}.pbx.example pbx{group};\n");
            ours += &format!(
                "[[instances]]\nname = \"{name}\"\nstate = \"on\"\nbackends = [{{ address = \"127.0.0.1:{sip}\" }}]\n\
web.url = \"http://127.0.0.1:{web}\"\nlicence.mode = \"cloud\"\nlicence.booked = {{ full = {SEATS} }}\n\n"
            );
        }
        fs::create_dir(self.path("dbtext")).unwrap();
        let versions = "table_name(string) table_version(int)\npbx:2\nbooked:2\n";
        for (name, text) in [
            ("dbtext/pbx", pbx.as_str()),
            ("dbtext/booked", &booked),
            ("dbtext/version", versions),
            ("hosts.haproxy", &haproxy),
            ("hosts.nginx", &nginx),
            ("table.toml", &ours),
        ] {
            fs::write(self.path(name), text).unwrap();
        }
    }

    /// The configuration files; the product's with so many workers.
    pub fn configurations(&self, workers: usize) {
        let modules = fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path().join("kamailio/modules"));
        let modules = modules.into_iter().find(|path| path.exists()).unwrap_or_default();
        let write = |name: &str, text: &str| {
            let text = text
                .replace("@DIR@", &self.dir.path().to_string_lossy())
                .replace("@MODULES@", &modules.to_string_lossy())
                .replace("@TENANTS@", &self.tenants.to_string())
                .replace("@WORKERS@", &workers.to_string());
            fs::write(self.path(name), text).unwrap();
        };
        write("kamailio.cfg", include_str!("conf/kamailio.cfg"));
        write("haproxy.cfg", include_str!("conf/haproxy.cfg"));
        write("nginx.conf", include_str!("conf/nginx.conf"));
        write("nantucket.toml", include_str!("conf/nantucket.toml"));
    }

    /// Brings the product's data up as an operator does: a licence, the certificate, the table.
    fn product(&self) {
        let running = System::Nantucket.start(self, &[]);
        let file = |name: &str| self.path(name).to_string_lossy().into_owned();
        let seats = (self.tenants * SEATS).to_string();
        let licence = file("volume.lic");
        let (cert, key, table) = (file("cert.pem"), file("key.pem"), file("table.toml"));
        let issue = ["licence", "issue", "volume", "--light", "0", "--holder", "Bench", "--demo"];
        self.run(&[&issue[..], &["--users", &seats, "-o", &licence]].concat(), false);
        self.run(&["licence", "install", &licence], true);
        self.run(&["certificate", "add", "bench", "--chain", &cert, "--key", &key], true);
        self.run(&["apply", "-f", &table], true);
        self.run(&["proxy", "set", "front", "--https-redirect=false", "--certificate", "bench"], true);
        running.stop();
    }

    fn run(&self, command: &[&str], at_node: bool) {
        let mut call = Command::new(&self.binary);
        call.args(command);
        if at_node {
            call.arg("--data-dir").arg(self.path("data")).args(["--url", "https://127.0.0.1:7443"]);
        }
        let said = call.output().unwrap();
        assert!(said.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said.stderr));
    }
}
