//! The live view: instances, phones, steps, the ladder of messages, and where to point a browser.
//!
//! It draws a [`Scene`] and a [`Story`] and decides nothing. Words are the protocols' own, states
//! are signs, so that it reads the same in every language. Called by `run`.

use super::feed::{Outcome, Rung, Step, Story};
use crate::clock::Tick;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Sparkline, Table};
use std::collections::VecDeque;

/// Seconds the sparkline shows.
const SAMPLES: usize = 60;

/// One instance as shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceRow {
    /// Its name.
    pub name: String,
    /// Whether it is routed to.
    pub on: bool,
    /// Live calls.
    pub calls: u64,
    /// Registered contacts.
    pub bindings: u64,
    /// SIP requests so far.
    pub requests: u64,
    /// HTTP requests so far.
    pub http: u64,
    /// Open WebSockets.
    pub tunnels: u64,
}

/// What a phone is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Not registered.
    Off,
    /// Registered.
    Idle,
    /// Talking to someone.
    Talking(String),
    /// In a held call.
    Held(String),
}

/// One phone as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneRow {
    /// `user@instance`.
    pub name: String,
    /// `udp`, `tcp`, with a 6 for IPv6.
    pub transport: String,
    /// What it does.
    pub doing: Doing,
}

/// Everything that is not in the story.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scene {
    /// Instances.
    pub instances: Vec<InstanceRow>,
    /// Phones.
    pub phones: Vec<PhoneRow>,
    /// What to open in a browser, line by line.
    pub links: Vec<String>,
}

/// What lasts from one picture to the next.
#[derive(Default)]
pub struct View {
    samples: VecDeque<u64>,
    counted: u64,
    since: Tick,
}

impl View {
    /// Notes the number of messages so far; once a second it becomes a sample.
    pub fn sample(&mut self, messages: u64, now: Tick) {
        if now.since(self.since) < 1000 {
            return;
        }
        self.samples.push_back(messages.saturating_sub(self.counted));
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
        self.counted = messages;
        self.since = now;
    }

    /// Draws one picture.
    pub fn draw(&self, frame: &mut Frame<'_>, story: &Story, scene: &Scene, now: Tick) {
        let links = u16::try_from(scene.links.len()).unwrap_or(0).min(8);
        let [head, body, foot, keys] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Min(4),
            Constraint::Length(links),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let [left, right] = Layout::horizontal([Constraint::Length(33), Constraint::Min(20)]).areas(body);
        let instances = u16::try_from(scene.instances.len()).unwrap_or(0).saturating_add(2);
        let [top, bottom] = Layout::vertical([Constraint::Length(instances), Constraint::Min(2)]).areas(left);
        let [steps, ladder] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(right);
        self.draw_head(frame, head, story, now);
        draw_instances(frame, top, &scene.instances);
        draw_phones(frame, bottom, scene);
        draw_steps(frame, steps, story);
        draw_ladder(frame, ladder, &story.ladder);
        draw_links(frame, foot, &scene.links);
        frame.render_widget(Paragraph::new(" q ⏻   r ↻").dim(), keys);
    }

    fn draw_head(&self, frame: &mut Frame<'_>, area: Rect, story: &Story, now: Tick) {
        let [left, right] = Layout::horizontal([Constraint::Length(33), Constraint::Min(10)]).areas(area);
        let verdict = match story.verdict {
            Some(verdict) if verdict.good() => Span::styled(format!(" ✓ {}", verdict.passed), good()),
            Some(verdict) => Span::styled(format!(" ✗ {}", verdict.failed), bad()),
            None => Span::styled(format!(" … {}", story.steps.len()), Style::new().fg(Color::Yellow)),
        };
        let title = Line::from(vec![
            Span::styled(" Nantucket ", Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)),
            Span::raw(format!(" {} #{}", clock(now), story.round)),
            verdict,
        ]);
        let gentle =
            if story.gentle.0 > 0 { format!(" ☎ {}  ✗ {}", story.gentle.0, story.gentle.1) } else { String::new() };
        frame.render_widget(Paragraph::new(vec![title, Line::from(gentle).dim()]), left);
        let [number, line] = Layout::horizontal([Constraint::Length(9), Constraint::Min(4)]).areas(right);
        let rate = self.samples.back().copied().unwrap_or(0);
        frame.render_widget(Paragraph::new(format!("{rate} SIP/s")), number);
        let width = usize::from(line.width);
        let skip = self.samples.len().saturating_sub(width);
        let data: Vec<u64> = self.samples.iter().skip(skip).copied().collect();
        frame.render_widget(Sparkline::default().data(data).style(Style::new().fg(Color::Cyan)), line);
    }
}

fn good() -> Style {
    Style::new().fg(Color::Green).add_modifier(Modifier::BOLD)
}

fn bad() -> Style {
    Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
}

fn clock(now: Tick) -> String {
    format!("{:02}:{:02}", now.0 / 60_000, now.0 / 1000 % 60)
}

fn draw_instances(frame: &mut Frame<'_>, area: Rect, instances: &[InstanceRow]) {
    let header = Row::new(["", "INV", "REG", "SIP", "HTTP", "WS"]).dim();
    let rows = instances.iter().map(|row| {
        let name = if row.on { row.name.clone().bold() } else { row.name.clone().dim() };
        let numbers = [row.calls, row.bindings, row.requests, row.http, row.tunnels];
        let cells = std::iter::once(Cell::from(name)).chain(numbers.into_iter().map(|n| Cell::from(n.to_string())));
        Row::new(cells)
    });
    let widths = [10, 3, 3, 5, 4, 2].map(Constraint::Length);
    let block = Block::new().borders(Borders::TOP);
    frame.render_widget(Table::new(rows, widths).header(header).column_spacing(1).block(block), area);
}

fn draw_phones(frame: &mut Frame<'_>, area: Rect, scene: &Scene) {
    let rows = scene.phones.iter().map(|phone| {
        let (sign, style, with) = match &phone.doing {
            Doing::Off => ("○", Style::new().dim(), ""),
            Doing::Idle => ("●", Style::new().fg(Color::Green), ""),
            Doing::Talking(with) => ("▶", Style::new().fg(Color::Cyan), with.as_str()),
            Doing::Held(with) => ("‖", Style::new().fg(Color::Yellow), with.as_str()),
        };
        let with = if with.is_empty() { String::new() } else { format!("⇄ {with}") };
        Row::new([sign.to_owned(), phone.name.clone(), phone.transport.clone(), with]).style(style)
    });
    let widths = [Constraint::Length(1), Constraint::Length(17), Constraint::Length(4), Constraint::Min(8)];
    frame.render_widget(Table::new(rows, widths).block(Block::new().borders(Borders::TOP)), area);
}

fn draw_steps(frame: &mut Frame<'_>, area: Rect, story: &Story) {
    let block = Block::new().borders(Borders::TOP | Borders::LEFT);
    let room = usize::from(block.inner(area).height);
    // What failed stays in sight; the rest of the room shows the newest.
    let (failed, others): (Vec<&Step>, Vec<&Step>) =
        story.steps.iter().partition(|step| matches!(step.outcome, Outcome::Failed(_)));
    let failed = failed.into_iter().take(room);
    let left = room.saturating_sub(failed.len());
    let newest = others.iter().skip(others.len().saturating_sub(left)).copied();
    let lines: Vec<Line<'_>> = failed.chain(newest).map(step_line).collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn step_line(step: &Step) -> Line<'_> {
    let (sign, style) = match step.outcome {
        Outcome::Running => ("…", Style::new().fg(Color::Yellow)),
        Outcome::Passed(_) => ("✓", good()),
        Outcome::Failed(_) => ("✗", bad()),
    };
    let mut spans = vec![
        Span::styled(sign, style),
        Span::styled(format!(" {:<3} ", step.rule), Style::new().dim()),
        Span::raw(step.what.as_str()),
    ];
    if let Outcome::Failed(why) = &step.outcome {
        spans.push(Span::styled(format!(" {why}"), bad()));
    }
    Line::from(spans)
}

fn draw_ladder(frame: &mut Frame<'_>, area: Rect, ladder: &VecDeque<Rung>) {
    let block = Block::new().borders(Borders::TOP | Borders::LEFT);
    let room = usize::from(block.inner(area).height);
    let lines: Vec<Line<'_>> = ladder.iter().skip(ladder.len().saturating_sub(room)).map(rung_line).collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// Phones stand left of the proxy, PBXs right of it.
fn rung_line(rung: &Rung) -> Line<'_> {
    let towards = rung.sent != rung.pbx;
    let arrow = if towards { "──▶" } else { "◀──" };
    let at = format!("{:02}.{:03} ", rung.at.0 / 1000 % 60, rung.at.0 % 1000);
    let color = match rung.what.as_bytes().first() {
        Some(b'1') => Color::DarkGray,
        Some(b'2') => Color::Green,
        Some(b'3'..=b'6') => Color::Red,
        _ => Color::Reset,
    };
    let what = Span::styled(format!("{:<12}", rung.what), Style::new().fg(color));
    let who = Span::raw(rung.who.as_str());
    let spans = if rung.pbx {
        vec![
            Span::raw(at).dim(),
            Span::raw(format!("{:<12}", "")),
            what,
            Span::raw(format!(" {arrow} ")),
            who.magenta(),
        ]
    } else {
        vec![Span::raw(at).dim(), Span::raw(format!("{:<7} ", rung.who)).cyan(), Span::raw(format!("{arrow} ")), what]
    };
    Line::from(spans)
}

fn draw_links(frame: &mut Frame<'_>, area: Rect, links: &[String]) {
    let lines: Vec<Line<'_>> = links.iter().map(|link| Line::from(format!(" {link}"))).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

#[cfg(test)]
mod tests {
    use super::super::feed::Verdict;
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn story() -> Story {
        let step = |rule, what: &str, outcome| Step { rule, what: what.into(), outcome };
        let rung =
            |who: &str, sent, pbx, what: &str| Rung { at: Tick(1234), who: who.into(), sent, pbx, what: what.into() };
        let mut story = Story { round: 2, messages: 40, gentle: (3, 1), ..Story::default() };
        story.steps.push_back(step("R9", "REGISTER sip:nobody 404", Outcome::Failed("it was 200".into())));
        for number in 0..40 {
            story.steps.push_back(step("R4", &format!("step {number}"), Outcome::Passed(3)));
        }
        story.ladder.push_back(rung("alice", true, false, "INVITE"));
        story.ladder.push_back(rung("harbor", false, true, "INVITE"));
        story.ladder.push_back(rung("harbor", true, true, "486 INVITE"));
        story.ladder.push_back(rung("alice", false, false, "486 INVITE"));
        story.verdict = Some(Verdict { passed: 40, failed: 1 });
        story
    }

    fn scene() -> Scene {
        let instance = InstanceRow {
            name: "harbor".into(),
            on: true,
            calls: 1,
            bindings: 4,
            requests: 99,
            ..InstanceRow::default()
        };
        let phone = |doing| PhoneRow { name: "alice@harbor".into(), transport: "udp".into(), doing };
        Scene {
            instances: vec![instance],
            phones: vec![phone(Doing::Talking("bob".into())), phone(Doing::Held("bob".into())), phone(Doing::Off)],
            links: vec!["https://127.0.0.1:8443/harbor/".into()],
        }
    }

    fn picture(width: u16, height: u16) -> String {
        let mut view = View::default();
        view.sample(0, Tick(1000));
        view.sample(40, Tick(2000));
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame, &story(), &scene(), Tick(61_000))).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let lines = buffer.content().chunks(usize::from(width));
        lines.map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
    }

    #[test]
    fn everything_is_in_sight_at_80_by_24() {
        let picture = picture(80, 24);
        for part in [
            "Nantucket",
            "01:01 #2",
            "✗ 1",
            "40 SIP/s",
            "harbor",
            "▶ alice@harbor",
            "⇄ bob",
            "‖",
            "○",
            "✗ R9  REGISTER sip:nobody 404 it was 200",
            "step 39",
            "alice   ──▶ INVITE",
            "486 INVITE   ◀── harbor",
            "https://127.0.0.1:8443/harbor/",
        ] {
            assert!(picture.contains(part), "{part} is missing in\n{picture}");
        }
    }

    #[test]
    fn no_size_is_too_small() {
        for (width, height) in [(1, 1), (10, 3), (40, 10), (200, 60)] {
            picture(width, height);
        }
    }
}
