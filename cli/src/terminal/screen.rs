//! A full screen: keys come in, answers come in, lines go out, until somebody has seen enough.

use crate::terminal::Key;
use ratatui_core::{terminal::Terminal, text::Line};
use ratatui_crossterm::{
    CrosstermBackend,
    crossterm::{
        cursor, event, execute,
        terminal::{self, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use std::{
    future::Future,
    io::{self, IsTerminal, Stdout},
    pin::Pin,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time,
};

/// What a key did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The screen is drawn again.
    Stay,
    /// Something else is asked for, at once.
    Ask,
    /// The end.
    Quit,
}

/// What is behind a screen: it takes keys and answers. It has no clock and no input of its own.
pub(crate) trait Model {
    /// What the server says.
    type Answer;
    /// Takes a key.
    fn press(&mut self, key: Key) -> Step;
    /// Takes an answer, so long after the start.
    fn take(&mut self, answer: Self::Answer, at: Duration);
    /// Whether answers are wanted.
    fn is_paused(&self) -> bool;
}

/// Draws a model in a width and a height: at most that many lines.
pub(crate) type View<M> = fn(&M, usize, usize) -> Vec<Line<'static>>;

/// Returns whether there is a terminal at both ends.
pub(crate) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The columns of the terminal; none: there is none.
pub(crate) fn columns() -> Option<usize> {
    terminal::size().ok().map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0)
}

/// Shows something until `q`, Ctrl-C or a signal. The server is asked every so often, but never twice at a time.
pub(crate) async fn show<M: Model, F: Future<Output = M::Answer>>(
    model: &mut M,
    draw: View<M>,
    every: Duration,
    ask: impl Fn(&M) -> F,
) -> io::Result<()> {
    let mut ends = [signal(SignalKind::terminate())?, signal(SignalKind::hangup())?, signal(SignalKind::interrupt())?];
    let mut screen = Screen::open()?;
    let mut keys = keys();
    let began = Instant::now();
    let mut asked: Option<Pin<Box<F>>> = None;
    let mut next = time::Instant::now();
    loop {
        screen.draw(|width, height| draw(model, width, height))?;
        tokio::select! {
            input = keys.recv() => match input {
                // The terminal is gone.
                None => return Ok(()),
                Some(Input::Resized) => {}
                Some(Input::Key(key)) => match model.press(key) {
                    Step::Stay => {}
                    Step::Ask => (asked, next) = (None, time::Instant::now()),
                    Step::Quit => return Ok(()),
                },
            },
            () = any(&mut ends) => return Ok(()),
            answer = answered(&mut asked) => {
                asked = None;
                model.take(answer, began.elapsed());
            }
            () = time::sleep_until(next), if asked.is_none() && !model.is_paused() => {
                asked = Some(Box::pin(ask(model)));
                next = time::Instant::now() + every;
            }
        }
    }
}

async fn answered<F: Future>(asked: &mut Option<Pin<Box<F>>>) -> F::Output {
    match asked {
        Some(asked) => asked.await,
        None => std::future::pending().await,
    }
}

async fn any([terminate, hangup, interrupt]: &mut [Signal; 3]) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The terminal, taken over. Dropping it gives it back.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn open() -> io::Result<Self> {
        // A panic says so on the screen that was there before.
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        enable_raw_mode()?;
        let opened = execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        opened.map(Self).inspect_err(|_| give_back())
    }

    fn draw(&mut self, lines: impl FnOnce(usize, usize) -> Vec<Line<'static>>) -> io::Result<()> {
        self.0.draw(|frame| {
            let area = frame.area();
            let lines = lines(area.width.into(), area.height.into());
            paint(&lines, frame.buffer_mut());
        })?;
        Ok(())
    }
}

/// Paints lines from the top on.
pub(crate) fn paint(lines: &[Line<'_>], buffer: &mut ratatui_core::buffer::Buffer) {
    let area = buffer.area;
    for (y, line) in (area.top()..area.bottom()).zip(lines) {
        buffer.set_line(area.left(), y, line, area.width);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}

enum Input {
    Key(Key),
    Resized,
}

/// Reads the terminal in a thread: reading blocks. It ends with the process.
fn keys() -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            let input = match event {
                event::Event::Resize(..) => Some(Input::Resized),
                event => Key::of(&event).map(Input::Key),
            };
            if input.is_some_and(|input| sender.blocking_send(input).is_err()) {
                return;
            }
        }
    });
    receiver
}

/// Returns what a person sees of a model in a terminal of that size: its rows, without spaces at their ends.
#[cfg(test)]
pub(crate) fn seen<M>(model: &M, draw: View<M>, width: u16, height: u16) -> Vec<String> {
    use ratatui_core::backend::TestBackend;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| paint(&draw(model, width.into(), height.into()), frame.buffer_mut())).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(row).collect()
}
