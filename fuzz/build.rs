//! The native module looks Envoy's functions up by their names among those that the program exports.

fn main() {
    println!("cargo:rustc-link-arg-bin=native=-rdynamic");
}
