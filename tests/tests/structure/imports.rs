//! Which file of a crate imports which: from `use` and from paths in the code, through re-exports to where a name is
//! defined.
//!
//! A method that is called on a value shows no path, so it is no import. `pub use child::Name` in a folder's `mod.rs`
//! is another name for the child's, not an import of the folder's own; it is one where `mod.rs` uses the name itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    source::{Token, tokens},
    uses::{Used, defined, paths, take_uses},
};

/// A crate's files and the imports between them.
pub(crate) struct Imports {
    name: String,
    files: Vec<File>,
    edges: BTreeMap<(usize, usize), String>,
}

struct File {
    /// From the crate's `src/` on.
    path: String,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    /// What `use` binds: a name to a path.
    aliases: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    defines: BTreeSet<String>,
    tokens: Vec<Token>,
}

/// What a path leads to.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    Module(usize),
    Item(usize),
}

impl Imports {
    /// Reads a crate: its name in paths, and `(path below src, text)` of its files.
    pub(crate) fn read(name: &str, files: &[(String, String)]) -> Imports {
        let mut imports = Imports { name: name.to_owned(), files: Vec::new(), edges: BTreeMap::new() };
        let roots = ["lib.rs", "main.rs"].iter().filter(|root| files.iter().any(|(path, _)| path == *root));
        for root in roots {
            imports.add(root, None, files);
        }
        let used: Vec<Vec<Used>> = imports.files.iter_mut().map(|file| take_uses(&mut file.tokens)).collect();
        for (file, used) in used.iter().enumerate() {
            for one in used {
                let path = one.path.clone();
                match &one.name {
                    Some(alias) => _ = imports.files[file].aliases.insert(alias.clone(), path),
                    None => imports.files[file].globs.push(path),
                }
            }
        }
        for (file, used) in used.into_iter().enumerate() {
            imports.link(file, &used);
        }
        imports
    }

    /// Adds the file and those that it declares; a file that only tests declare is never reached.
    fn add(&mut self, path: &str, parent: Option<usize>, files: &[(String, String)]) -> Option<usize> {
        let (_, text) = files.iter().find(|(found, _)| found == path)?;
        let this = self.files.len();
        let tokens = tokens(text);
        let declared: Vec<String> = tokens
            .windows(3)
            .filter(|three| three[0].text == "mod" && three[2].text == ";")
            .map(|three| three[1].text.clone())
            .collect();
        let defines = defined(&tokens);
        self.files.push(File {
            path: path.to_owned(),
            parent,
            children: BTreeMap::new(),
            aliases: BTreeMap::new(),
            globs: Vec::new(),
            defines,
            tokens,
        });
        let folder = match path.rsplit_once('/') {
            _ if parent.is_none() => String::new(),
            Some((folder, "mod.rs")) => format!("{folder}/"),
            _ => format!("{}/", path.trim_end_matches(".rs")),
        };
        for name in declared {
            let at = [format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")];
            if let Some(child) = at.iter().find_map(|path| self.add(path, Some(this), files)) {
                self.files[this].children.insert(name, child);
            }
        }
        Some(this)
    }

    fn link(&mut self, file: usize, used: &[Used]) {
        let mut found = Vec::new();
        for one in used {
            let Some(target) = self.target(file, &one.path, 0) else { continue };
            let is_own = |other: usize| self.is_below(other, file);
            match (target, &one.name) {
                // A folder's re-export of its own child's: an import where the folder's own code names it.
                (Target::Item(other), Some(alias)) if one.is_public && is_own(other) => {
                    let words = &self.files[file].tokens;
                    found.extend(words.iter().filter(|word| word.text == *alias).map(|word| (other, word.line)).next());
                }
                (Target::Module(_), Some(_)) => {}
                (Target::Item(other), Some(_)) => found.push((other, one.line)),
                (Target::Module(other) | Target::Item(other), None) if one.is_public && is_own(other) => {}
                (Target::Module(other) | Target::Item(other), None) => found.push((other, one.line)),
            }
        }
        for (path, line) in paths(&self.files[file].tokens) {
            if let Some(Target::Item(other)) = self.target(file, &path, 0) {
                found.push((other, line));
            }
        }
        for (other, line) in found {
            if other != file {
                self.edges.entry((file, other)).or_insert_with(|| format!("{}:{line}", self.files[file].path));
            }
        }
    }

    fn is_below(&self, mut file: usize, above: usize) -> bool {
        while let Some(parent) = self.files[file].parent {
            file = parent;
            if file == above {
                return true;
            }
        }
        false
    }

    /// Where `path` leads that stands in `file`; nothing for other crates' and for what is no module.
    fn target(&self, file: usize, path: &[String], depth: usize) -> Option<Target> {
        let (first, mut rest) = path.split_first()?;
        let mut target = match first.as_str() {
            "crate" => Target::Module(self.root(file)),
            first if first == self.name => Target::Module(0),
            "self" => Target::Module(file),
            "super" => Target::Module(self.files[file].parent?),
            first => self.member(file, first, depth)?,
        };
        while let (Target::Module(module), Some((next, after))) = (target, rest.split_first()) {
            target = match next.as_str() {
                "super" => Target::Module(self.files[module].parent?),
                next => self.member(module, next, depth).unwrap_or(Target::Item(module)),
            };
            rest = after;
        }
        Some(target)
    }

    /// What `word` is in the module: a child, what it defines, or what a `use` of it brings.
    fn member(&self, module: usize, word: &str, depth: usize) -> Option<Target> {
        let this = &self.files[module];
        if let Some(child) = this.children.get(word) {
            return Some(Target::Module(*child));
        }
        if this.defines.contains(word) {
            return Some(Target::Item(module));
        }
        // Two that re-export each other's globs would never end.
        if depth > 8 {
            return None;
        }
        let alias = this.aliases.get(word).filter(|path| path.first().is_none_or(|first| first != word));
        if let Some(path) = alias {
            return self.target(module, path, depth + 1);
        }
        this.globs.iter().find_map(|glob| match self.target(module, glob, depth + 1)? {
            Target::Module(other) if other != module => self.member(other, word, depth + 1),
            _ => None,
        })
    }

    fn root(&self, mut file: usize) -> usize {
        while let Some(parent) = self.files[file].parent {
            file = parent;
        }
        file
    }

    /// Imports between files as `(from, to, where)`.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.edges
            .iter()
            .map(|((from, to), line)| (self.files[*from].path.as_str(), self.files[*to].path.as_str(), line.as_str()))
    }

    /// One shortest cycle for each knot of files that import each other: its imports, line by line.
    pub(crate) fn cycles(&self) -> Vec<String> {
        let mut in_one: BTreeSet<usize> = BTreeSet::new();
        let mut cycles = Vec::new();
        for start in 0..self.files.len() {
            if in_one.contains(&start) {
                continue;
            }
            let Some(cycle) = self.shortest_cycle(start) else { continue };
            in_one.extend(&cycle);
            let next = cycle.iter().skip(1).chain(&cycle[..1]);
            let steps = cycle
                .iter()
                .zip(next)
                .map(|(from, to)| format!("{} imports {}", self.edges[&(*from, *to)], self.files[*to].path));
            cycles.push(steps.collect::<Vec<_>>().join(", "));
        }
        cycles
    }

    fn shortest_cycle(&self, start: usize) -> Option<Vec<usize>> {
        let next = |from: usize| self.edges.keys().filter(move |(at, _)| *at == from).map(|(_, to)| *to);
        let mut from = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(at) = queue.pop_front() {
            for to in next(at) {
                if to == start {
                    let mut cycle = vec![at];
                    while let Some(before) = from.get(cycle.last()?) {
                        cycle.push(*before);
                    }
                    cycle.reverse();
                    return Some(cycle);
                }
                from.entry(to).or_insert_with(|| {
                    queue.push_back(to);
                    at
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Imports {
        let files: Vec<_> = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Imports::read("this_crate", &files)
    }

    fn edges(files: &[(&str, &str)]) -> Vec<String> {
        read(files).edges().map(|(from, to, _)| format!("{from} {to}")).collect()
    }

    const ROOT: (&str, &str) = ("lib.rs", "mod a; mod b; pub mod c;");

    #[test]
    fn a_use_and_a_path_in_the_code_are_imports() {
        let files = [
            ROOT,
            ("a.rs", "use crate::b::{self, Thing, other as too};\nuse std::fmt;"),
            ("b.rs", "fn f() { crate::c::f(super::a::X) } struct Thing;"),
            ("c/mod.rs", "mod d; fn f() { d::g() }"),
            ("c/d.rs", "pub(crate) fn g() { this_crate::a::X; }"),
        ];
        assert_eq!(edges(&files), ["a.rs b.rs", "b.rs a.rs", "b.rs c/mod.rs", "c/mod.rs c/d.rs", "c/d.rs a.rs"]);
    }

    #[test]
    fn a_module_that_is_only_named_is_no_import_and_what_is_used_of_it_is() {
        let named = ("a.rs", "use crate::c;");
        let used = ("a.rs", "use crate::c;\nfn f() { c::d::g() }");
        let rest = [("b.rs", ""), ("c/mod.rs", "pub mod d;"), ("c/d.rs", "pub(crate) fn g() {}")];
        assert!(edges(&[&[ROOT, named], &rest[..]].concat()).is_empty());
        assert_eq!(edges(&[&[ROOT, used], &rest[..]].concat()), ["a.rs c/d.rs"]);
    }

    #[test]
    fn a_re_export_is_another_name_for_the_childs() {
        let folder = ("c/mod.rs", "mod d;\npub use d::Name;\npub(crate) use d::*;\nstruct Own;");
        let child = ("c/d.rs", "use super::Own;\npub struct Name; pub(crate) fn g() {}");
        let user = ("a.rs", "use crate::c::{Name, g};\nuse crate::c::Own;");
        assert_eq!(
            edges(&[ROOT, user, ("b.rs", ""), folder, child]),
            ["a.rs c/mod.rs", "a.rs c/d.rs", "c/d.rs c/mod.rs"]
        );
        assert!(read(&[ROOT, user, ("b.rs", ""), folder, child]).cycles().is_empty());
        // What the folder's own code uses is imported.
        let folder = ("c/mod.rs", "mod d;\npub use d::Name;\nstruct Own(Name);");
        let cycles = read(&[ROOT, user, ("b.rs", ""), folder, child]).cycles();
        assert_eq!(cycles, ["c/mod.rs:3 imports c/d.rs, c/d.rs:1 imports c/mod.rs"]);
    }

    #[test]
    fn a_cycle_is_found_with_its_lines_and_tests_make_none() {
        let a = ("a.rs", "\nuse crate::b::X;\n#[cfg(test)]\nmod tests { use crate::d::Y; }");
        let c = ("c.rs", "use crate::a::Z;");
        let round = [ROOT, a, ("b.rs", "fn f() {\n  crate::c::g()\n}"), c];
        assert_eq!(read(&round).cycles(), ["a.rs:2 imports b.rs, b.rs:2 imports c.rs, c.rs:1 imports a.rs"]);
        let straight = [ROOT, a, ("b.rs", "#[cfg(test)] use crate::c::g;"), c];
        assert!(read(&straight).cycles().is_empty());
    }

    #[test]
    fn files_that_only_tests_declare_are_not_read() {
        let root = ("lib.rs", "mod a; mod b; #[cfg(test)] mod simulation;");
        let files = [root, ("a.rs", "use crate::b::X;"), ("b.rs", ""), ("simulation.rs", "use crate::a::Y;")];
        assert_eq!(edges(&files), ["a.rs b.rs"]);
    }
}
