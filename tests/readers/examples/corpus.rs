//! Writes the readers' examples where libFuzzer begins with them: `fuzz/corpus/TARGET/`.
#![forbid(unsafe_code)]

fn main() -> std::io::Result<()> {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for reader in isigurt_readers::all() {
        let folder = corpus.join(reader.name);
        std::fs::create_dir_all(&folder)?;
        for (number, example) in (reader.examples)().into_iter().enumerate() {
            std::fs::write(folder.join(format!("example-{number}")), example)?;
        }
    }
    Ok(())
}
