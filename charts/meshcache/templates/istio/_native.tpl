{{/* How the filter of one entry of istio.attach runs, wasm or native: dict root, entry. */}}
{{- define "meshcache.filterOf" -}}
{{- default .root.Values.istio.filter .entry.filter -}}
{{- end -}}

{{/* What no proxy could run natively is refused before it is there: dict root, entry, at. */}}
{{- define "meshcache.nativePossible" -}}
{{- $at := .at }}{{ $entry := .entry }}
{{- with .root.Values.istio }}
{{- if $entry.waypoint }}{{ fail (printf "%s: an EnvoyFilter does not reach a waypoint's requests: write `filter: wasm` here" $at) }}{{ end }}
{{- if hasKey $entry "hotBytesPerWorker" }}{{ fail (printf "%s: `hotBytesPerWorker` is Wasm's; a native filter has `hotBytes`, for all workers of a proxy together" $at) }}{{ end }}
{{- if not (or .native.sha256 $entry.selector $entry.gateway) }}{{ fail (printf "%s: name the pods (`selector`) that have the module's file: a proxy without it takes no configuration, and a new one does not start" $at) }}{{ end }}
{{- if gt (len .native.sha256) 1 }}{{ fail "istio.native.sha256: a proxy's configuration names one module, so a mesh of two architectures cannot fetch it: take the image volume (docs/native.md), and leave sha256 empty" }}{{ end }}
{{- end }}
{{- range $of, $version := include "meshcache.istioVersions" .root | fromYaml }}
{{- if semverCompare "<1.31-0" $version }}{{ fail (printf "%s: proxies of Istio %s (%s) know no native filter; it needs Istio 1.31 or later. Write `filter: wasm`" $at $version $of) }}{{ end }}
{{- end }}
{{- end -}}

{{/* The versions of Istio that are known: as written, else those of each istiod that injects, where helm may ask a cluster. */}}
{{- define "meshcache.istioVersions" -}}
{{- $found := dict -}}
{{- with .Values.istio -}}
{{- if .native.istioVersion -}}
{{- $found = dict "istio.native.istioVersion" .native.istioVersion -}}
{{- else -}}
{{- $revision := .revision -}}
{{- range dig "items" list (lookup "apps/v1" "Deployment" .rootNamespace "") -}}
{{- $labels := default dict .metadata.labels -}}
{{- if and (eq (toString $labels.app) "istiod") (or (empty $revision) (eq (get $labels "istio.io/rev" | toString) $revision)) -}}
{{- $version := get $labels "app.kubernetes.io/version" | toString | regexFind "^v?[0-9]+[.][0-9]+([.][0-9]+)?" -}}
{{- if $version }}{{ $found = set $found (printf "istiod %s" .metadata.name) $version }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* The patches of an EnvoyFilter that put the native filter where a WasmPlugin of the phase STATS stands: dict root, entry, context. */}}
{{- define "meshcache.nativePatches" -}}
{{- $entry := .entry }}{{ $context := .context }}
{{- $ports := empty $entry.ports | ternary (list 0) $entry.ports }}
{{- with .root }}
{{- $host := include "meshcache.host" . }}
{{- $config := dict "cluster" (printf "outbound|%s||%s" (include "meshcache.port" .) $host) "hot_bytes" (include "meshcache.size" (hasKey $entry "hotBytes" | ternary $entry.hotBytes "16MiB"))
  "groups" (empty $entry.groups | ternary nil $entry.groups) "side" (eq $context "SIDECAR_INBOUND" | ternary "inbound" "outbound") }}
{{- with $entry.routes }}{{ $_ := set $config "routes" . }}{{ end }}
{{- range $port := $ports }}
# Behind authentication and authorization: who is refused gets nothing from the cache either. Before Istio's own metrics, which count hits.
- applyTo: HTTP_FILTER
  match:
    context: {{ $context }}
    listener:
      {{- if $port }}
      portNumber: {{ $port }}
      {{- end }}
      filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.grpc_stats}}}
  patch:
    operation: INSERT_BEFORE
    value:
      name: meshcache
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter
        dynamic_module_config:
          module:
            {{- range $sha256 := $.root.Values.istio.native.sha256 | values }}
            remote:
              http_uri: {uri: "http://{{ $host }}:8082/filter/{{ $sha256 }}.so", cluster: "outbound|8082||{{ $host }}", timeout: 10s}
              sha256: {{ $sha256 }}
              # Then the proxy goes on without the filter, until its configuration changes.
              retry_policy: {num_retries: 5, retry_back_off: {base_interval: 1s, max_interval: 10s}}
            {{- else }}
            local: {filename: {{ $.root.Values.istio.native.path | quote }}}
            {{- end }}
          # The hot cache outlives changes of this object.
          do_not_close: true
          # Istio's proxies export what begins like this.
          metrics_namespace: wasmcustom
        filter_name: meshcache
        filter_config:
          "@type": type.googleapis.com/google.protobuf.StringValue
          value: {{ toJson $config | quote }}
{{- end }}
{{- end }}
{{- end -}}
