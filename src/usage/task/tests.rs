use super::*;
use crate::ids::InstanceId;
use crate::model::Kind;
use crate::route::testing::{compiled, instance, proxy, table};
use crate::usage::signature;
use crate::usage::{EventQuery, Recorded, Topic};
use std::path::PathBuf;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const SECRET: &[u8] = b"whale";

/// A room for the task: a table with one instance of ten full users, a journal, a receiver.
struct Stage {
    cell: Arc<Cell>,
    journal: Arc<Journal>,
    events: Events,
    hooks: watch::Sender<Vec<Hook>>,
    receiver: TcpListener,
    secret: PathBuf,
    stop: CancellationToken,
    task: JoinHandle<()>,
    dir: tempfile::TempDir,
}

impl Stage {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, [SECRET, b"\n"].concat()).unwrap();
        let mut row = instance(1, "acme");
        row.licence.booked = crate::model::Seats { full: 10, light: 0 };
        let cell = Arc::new(Cell::new(compiled(&table([row], [proxy(1, "front")]))));
        let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stage = Self {
            cell,
            journal: Arc::new(Journal::in_memory().unwrap()),
            events: Events::default(),
            hooks: watch::Sender::new(Vec::new()),
            receiver,
            secret,
            stop: CancellationToken::new(),
            task: tokio::spawn(async {}),
            dir,
        };
        stage.start();
        stage
    }

    fn start(&mut self) {
        self.journal = open(self.dir.path(), self.events.stats()).unwrap();
        self.stop = CancellationToken::new();
        let usage = Usage {
            cell: Arc::clone(&self.cell),
            clock: Clock::start(),
            licence_clock: Arc::default(),
            journal: Arc::clone(&self.journal),
            events: self.events.clone(),
            over: Box::new(Seats::default),
        };
        self.task = tokio::spawn(usage.run(self.hooks.subscribe(), self.stop.clone()));
    }

    async fn end(&mut self) {
        self.stop.cancel();
        (&mut self.task).await.unwrap();
    }

    fn hook(&self, topics: &[Topic]) -> Hook {
        let url = format!("http://{}/hook?a=b", self.receiver.local_addr().unwrap()).parse().unwrap();
        Hook { url, secret_file: self.secret.clone(), topics: topics.into() }
    }

    /// Makes this the hook and waits until it is at work.
    async fn listen(&self, topics: &[Topic]) {
        self.hooks.send_replace(vec![self.hook(topics)]);
        let url = self.hook(topics).url.to_string();
        until(|| {
            let sql = "SELECT COUNT(*) FROM hook WHERE url = ?1";
            self.journal.connection().query_row(sql, [&url], |row| row.get::<_, u64>(0)).unwrap() == 1
        })
        .await;
    }

    fn set(&self, used: u64) {
        self.cell.load().instances[0].stats.set_seats(Kind::Full, used);
    }

    /// Takes one delivery and answers it; returns its text and what it says.
    async fn take(&self, answer: &str) -> (String, Recorded) {
        let patience = Duration::from_secs(20);
        let (stream, _) = tokio::time::timeout(patience, self.receiver.accept()).await.unwrap().unwrap();
        let text = read(stream, answer).await;
        let body = text.split_once("\r\n\r\n").unwrap().1;
        let recorded = serde_json::from_str(body).unwrap();
        (text, recorded)
    }
}

async fn read(mut stream: TcpStream, answer: &str) -> String {
    let mut text = String::new();
    let mut chunk = [0; 4096];
    loop {
        let n = stream.read(&mut chunk).await.unwrap();
        text.push_str(std::str::from_utf8(&chunk[..n]).unwrap());
        let length = field(&text, "content-length").and_then(|value| value.parse::<usize>().ok());
        if text.split_once("\r\n\r\n").is_some_and(|(_, body)| Some(body.len()) == length) {
            break;
        }
        assert_ne!(n, 0, "cut short: {text}");
    }
    stream.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.unwrap();
    text
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let found = |line: &&str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
    text.lines().find(found).map(|line| line.split_once(':').unwrap().1.trim())
}

/// Waits for what has no event of its own.
async fn until(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
}

fn percent(recorded: &Recorded) -> u8 {
    match recorded.event {
        Event::SeatsWarning { percent, instance_id: InstanceId(1), licensed: 10, .. } => percent,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_warning_is_signed_and_sent_until_it_is_taken_in_order() {
    // R72
    let stage = Stage::open().await;
    stage.listen(&[Topic::SeatsWarning]).await;
    stage.events.push(Event::OverAllocated { kind: Kind::Full, by: 1 });
    stage.set(9);
    let (text, first) = stage.take("500 Not Now").await;
    assert!(text.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{text}");
    assert_eq!(percent(&first), 80);
    let (_, again) = stage.take("302 Found\r\nlocation: http://127.0.0.1:1/").await;
    assert_eq!(again, first, "the same once more, and no redirect is followed");
    let (text, third) = stage.take("204 No Content").await;
    assert_eq!(third, first);
    let (signed, body) = (field(&text, signature::HEADER).unwrap(), text.split_once("\r\n\r\n").unwrap().1);
    assert!(signature::verify(SECRET, signed, body.as_bytes(), Clock::start().now().unix, 30), "{text}");
    assert_eq!(field(&text, "nantucket-event"), Some(first.id.to_string().as_str()));
    let (_, next) = stage.take("200 OK").await;
    assert_eq!(percent(&next), 90);
    assert!(next.id > first.id);
    let stats = stage.events.stats();
    until(|| stats.hook_deliveries.read() == 2).await;
    assert_eq!((stats.hook_failures.read(), stats.events.read()), (2, 3));
    until(|| stats.hook_waiting.read() == 0).await;
}

#[tokio::test]
async fn what_was_not_delivered_is_delivered_after_a_restart() {
    // R72
    let mut stage = Stage::open().await;
    stage.listen(&[]).await;
    stage.set(8);
    let (_, first) = stage.take("503 Later").await;
    stage.set(10);
    let stats = Arc::clone(stage.events.stats());
    until(|| stats.events.read() == 3).await;
    stage.end().await;
    stage.start();
    // One that was under way when the task ended comes once more.
    let mut said: Vec<Recorded> = Vec::new();
    while said.last().is_none_or(|last| percent(last) < 100) {
        said.push(stage.take("200 OK").await.1);
        said.dedup();
    }
    assert_eq!((said.iter().map(percent).collect::<Vec<_>>(), &said[0]), (vec![80, 90, 100], &first));
    until(|| stats.hook_deliveries.read() == 3).await;
    stage.end().await;
    assert_eq!((stats.events.read(), stats.hook_deliveries.read()), (3, 3), "nothing was said twice");
}

#[tokio::test]
async fn a_secret_that_is_not_there_sends_nothing() {
    let stage = Stage::open().await;
    std::fs::remove_file(&stage.secret).unwrap();
    stage.listen(&[]).await;
    stage.set(8);
    until(|| stage.events.stats().hook_failures.read() == 1).await;
    std::fs::write(&stage.secret, SECRET).unwrap();
    assert_eq!(percent(&stage.take("200 OK").await.1), 80);
}

#[tokio::test]
async fn a_hook_that_is_taken_away_is_told_nothing_more() {
    // R73
    let stage = Stage::open().await;
    stage.listen(&[]).await;
    stage.hooks.send_replace(Vec::new());
    until(|| {
        let sql = "SELECT COUNT(*) FROM hook";
        stage.journal.connection().query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap() == 0
    })
    .await;
    stage.set(8);
    until(|| stage.events.stats().events.read() == 1).await;
    stage.listen(&[]).await;
    stage.set(9);
    assert_eq!(percent(&stage.take("200 OK").await.1), 90, "it starts where it begins");
}

#[tokio::test]
async fn the_queue_of_events_is_bounded() {
    // T19
    let events = Events::default();
    for _ in 0..=QUEUE {
        events.push(Event::OverAllocated { kind: Kind::Full, by: 1 });
    }
    assert_eq!((events.take().len(), events.stats().events_lost.read()), (QUEUE, 1));
}

#[tokio::test]
async fn what_others_report_is_written_down_and_the_last_look_is_not_lost() {
    let mut stage = Stage::open().await;
    stage.events.push(Event::Licence { licence: "v-1".into(), state: "installed".into(), detail: "12 users".into() });
    stage.end().await;
    let page = stage.journal.events(&EventQuery { limit: 10, ..EventQuery::default() }).unwrap();
    assert_eq!(
        page.items.iter().map(|it| it.text.as_str()).collect::<Vec<_>>(),
        ["licence v-1 is installed: 12 users"]
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_used_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), "not a database, and long enough to be seen as none".repeat(40)).unwrap();
    let stats = UsageStats::default();
    assert!(open(dir.path(), &stats).is_ok());
    assert_eq!(stats.journal_errors.read(), 1);
}
