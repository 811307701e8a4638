//! A program in a terminal of its own: what a person sees there, and the keys that are pressed.

use std::{
    fs::File,
    io::{Read, Write},
    num::NonZeroU16,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread::JoinHandle,
};

use parking_lot::Mutex;
use rustix::{
    process::{Pid, Signal, ioctl_tiocsctty, kill_process, setsid},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use vt100::Parser;

use crate::wait::{SOON, await_some};

mod picture;

/// A terminal and the program that runs in it. Dropping it kills the program.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Parser>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    /// Starts a program.
    pub fn start(mut command: Command, columns: u16, rows: u16) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = || Stdio::from(File::options().read(true).write(true).open(&name).unwrap());
        let screen = Arc::new(Mutex::new(Parser::new(size(rows), size(columns), 0)));
        let keyboard = File::from(master);
        tcsetwinsize(&keyboard, winsize(columns, rows)).unwrap();
        command.stdin(slave()).stdout(slave()).stderr(slave()).env("TERM", "xterm-256color");
        // SAFETY: setsid and ioctl are safe to call between fork and exec.
        unsafe {
            command.pre_exec(|| {
                setsid()?;
                Ok(ioctl_tiocsctty(rustix::stdio::stdin())?)
            });
        }
        let child = command.spawn().unwrap();
        // The last handles of this side: when the program ends, reading does.
        drop(command);
        let (mut output, shown) = (keyboard.try_clone().unwrap(), screen.clone());
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                shown.lock().process(&buffer[..read]);
            }
        });
        Terminal { child, keyboard, screen, reader }
    }

    /// The rows that are seen, without spaces at their ends.
    pub fn rows(&self) -> Vec<String> {
        let screen = self.screen.lock();
        let columns = screen.screen().size().1.get();
        screen.screen().rows(0, columns).map(|row| row.trim_end().to_owned()).collect()
    }

    /// Waits until the rows are so, and returns them; panics with what is seen instead.
    pub async fn sees(&self, what: &str, condition: impl Fn(&[String]) -> bool) -> Vec<String> {
        match await_some(|| Some(self.rows()).filter(|rows| condition(rows)), SOON).await {
            Some(rows) => rows,
            None => panic!("not seen: {what}; but:\n{}", self.rows().join("\n")),
        }
    }

    /// Waits until one row contains the text.
    pub async fn shows(&self, text: &str) -> Vec<String> {
        self.sees(text, |rows| rows.iter().any(|row| row.contains(text))).await
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Makes the window larger or smaller.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.screen.lock().set_size(size(rows), size(columns));
        tcsetwinsize(&self.keyboard, winsize(columns, rows)).unwrap();
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Whether the program has a screen of its own in front of the one that was there before.
    pub fn is_full_screen(&self) -> bool {
        self.screen.lock().screen().alternate_screen()
    }

    /// Whether the terminal is as a shell wants it: its own screen, a cursor, and letters that are seen when typed.
    pub fn is_as_before(&self) -> bool {
        let echoes = tcgetattr(&self.keyboard).unwrap().local_modes.contains(LocalModes::ECHO | LocalModes::ICANON);
        let screen = self.screen.lock();
        echoes && !screen.screen().alternate_screen() && !screen.screen().hide_cursor()
    }

    /// Waits for the program's end, and for all that it wrote.
    pub async fn exit(&mut self) -> ExitStatus {
        let ended = |child: &mut Child| child.try_wait().unwrap().filter(|_| self.reader.is_finished());
        match await_some(|| ended(&mut self.child), SOON).await {
            Some(status) => status,
            None => panic!("the program is still there:\n{}", self.rows().join("\n")),
        }
    }

    /// What is seen as a picture: SVG.
    pub fn picture(&self) -> String {
        picture::svg(self.screen.lock().screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(columns: u16) -> NonZeroU16 {
    NonZeroU16::new(columns).unwrap()
}

fn winsize(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
