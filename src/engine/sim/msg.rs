//! A message as the agents of the simulation read it: by a reader of their own, so that they do not share the
//! engine's mistakes.

/// A message.
#[derive(Clone, Debug)]
pub struct Msg {
    /// The start-line.
    pub start: String,
    rows: Vec<(String, String)>,
}

impl Msg {
    /// Reads a message; panics where it is none.
    pub fn read(text: &str) -> Self {
        let (head, _) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no empty line in {text:?}"));
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap().to_owned();
        let rows = lines
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no colon in {line:?}"));
                (name.trim().to_ascii_lowercase(), value.trim().to_owned())
            })
            .collect();
        Self { start, rows }
    }

    /// The first value of a field.
    pub fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The first value of a field, if there is one.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.rows.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// All values of a field, comma lists apart.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.rows
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .flat_map(|(_, v)| v.split(", ").map(str::to_owned))
            .collect()
    }

    /// The status of a response; 0 for a request.
    pub fn status(&self) -> u16 {
        self.start.strip_prefix("SIP/2.0 ").map_or(0, |rest| rest[..3].parse().unwrap())
    }

    /// The method of the request or of CSeq.
    pub fn method(&self) -> &str {
        if self.status() == 0 {
            self.start.split(' ').next().unwrap()
        } else {
            self.get("cseq").split(' ').nth(1).unwrap()
        }
    }

    /// The number of CSeq.
    pub fn cseq(&self) -> u32 {
        self.get("cseq").split(' ').next().unwrap().parse().unwrap()
    }

    /// The tag of From or To.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.get(name).split(";tag=").nth(1)
    }

    /// The branch of the top Via.
    pub fn branch(&self) -> &str {
        self.get("via").split("branch=").nth(1).unwrap().split([';', ',']).next().unwrap()
    }

    /// What is between the angle brackets of a field's first value.
    pub fn uri(&self, name: &str) -> &str {
        inner(self.get(name))
    }

    /// The response to this request with this status, To-tag and these rows.
    pub fn answer(&self, status: u16, tag: &str, more: &str) -> String {
        let mut text = format!("SIP/2.0 {status} Sim\r\n");
        for (name, value) in &self.rows {
            match name.as_str() {
                "via" | "from" | "call-id" | "cseq" => text += &format!("{name}: {value}\r\n"),
                "record-route" if (101..300).contains(&status) => text += &format!("{name}: {value}\r\n"),
                "to" if status == 100 || value.contains(";tag=") => text += &format!("{name}: {value}\r\n"),
                "to" => text += &format!("{name}: {value};tag={tag}\r\n"),
                _ => {}
            }
        }
        text + more + "Content-Length: 0\r\n\r\n"
    }
}

/// What is between angle brackets.
pub fn inner(value: &str) -> &str {
    let rest = value.split_once('<').map_or(value, |(_, rest)| rest);
    rest.split('>').next().unwrap()
}
