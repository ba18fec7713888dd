//! The `mailgrant` command.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    mailgrant::cli::run().await
}
