# Mailgrant as a container image: one binary on a slim Debian, run by a user without rights.
#
#   docker build -t mailgrant .

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc g++ libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The caches stay between builds; the program is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --bin mailgrant \
    && cp target/dist/mailgrant /mailgrant

FROM debian:bookworm-slim
# Certificates of public authorities: mail providers are trusted through them.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin mailgrant \
    && install -d -o mailgrant -g mailgrant -m 0700 /data
COPY --from=build /mailgrant /usr/local/bin/mailgrant
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/mailgrant/
USER 10001:10001
WORKDIR /data
VOLUME /data
ENV MAILGRANT_DATA_DIR=/data \
    MAILGRANT_LISTEN=0.0.0.0:8080
EXPOSE 8080
# Asks /livez over bash's own sockets: the image needs no HTTP client.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /livez HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200'* ]]"]
ENTRYPOINT ["mailgrant"]
CMD ["serve"]
