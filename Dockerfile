# The coordinator: one static program and the filters that it serves, nothing else. `make image` builds what is copied here.
FROM scratch
ARG TARGETARCH
# The native filters of all architectures that were built.
ARG NATIVE_FILTER
# One folder for each architecture: dist/amd64, dist/arm64.
# The program, and a link by its first name. Of a folder links are copied as links.
COPY dist/${TARGETARCH}/bin /
COPY dist/meshcache_filter.wasm /filter.wasm
COPY dist/filter-*.so /
ENV MESHCACHE_FILTER=/filter.wasm MESHCACHE_NATIVE_FILTER=${NATIVE_FILTER}
USER 65532:65532
# Data, admin, status, peer.
EXPOSE 8080 8081 8082 8083
ENTRYPOINT ["/meshcache"]
