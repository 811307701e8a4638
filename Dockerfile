# The coordinator: one static program and the filter that it serves, nothing else. `make image` builds what is copied here.
FROM scratch
ARG TARGETARCH
# One folder for each architecture: dist/amd64, dist/arm64.
COPY dist/${TARGETARCH}/meshcache-coordinator /meshcache-coordinator
COPY dist/meshcache_filter.wasm /filter.wasm
ENV MESHCACHE_FILTER=/filter.wasm
USER 65532:65532
# Data, admin, status, peer.
EXPOSE 8080 8081 8082 8083
ENTRYPOINT ["/meshcache-coordinator"]
