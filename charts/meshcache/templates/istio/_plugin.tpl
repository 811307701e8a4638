{{/* One entry of istio.attach as a WasmPlugin: dict root, entry. */}}
{{- define "meshcache.plugin" -}}
{{- $entry := .entry }}
{{- with .root }}
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata:
  name: {{ $entry.name }}
  namespace: {{ $entry.namespace }}
  labels: {{- include "meshcache.labels" . | nindent 4 }}
spec:
  {{- with .Values.istio.module }}
  {{- if .url }}
  url: {{ .url }}
  {{- with .sha256 }}
  sha256: {{ . }}
  {{- end }}
  {{- with .pullSecret }}
  imagePullSecret: {{ . }}
  {{- end }}
  {{- else }}
  # The hook fills in the digest of the module that its own image has.
  url: http://{{ include "meshcache.host" $.root }}:8082/filter/SHA256.wasm
  sha256: SHA256
  {{- end }}
  {{- end }}
  # A cache that does not load must not stop requests; under FAIL_CLOSE a failed download would refuse them all.
  failStrategy: FAIL_OPEN
  # Behind authentication and authorization: who is refused gets nothing from the cache either. Hits are counted by Istio's own metrics.
  phase: STATS
  # The same name everywhere: its VM, and so the hot cache, outlives changes of this object.
  pluginName: meshcache
  {{- if $entry.gateway }}
  targetRefs:
  - {group: gateway.networking.k8s.io, kind: Gateway, name: {{ $entry.gateway }}}
  {{- else if $entry.waypoint }}
  targetRefs:
  - {group: gateway.networking.k8s.io, kind: Gateway, name: {{ $entry.waypoint }}}
  {{- else if $entry.selector }}
  selector:
    matchLabels: {{- toYaml $entry.selector | nindent 6 }}
  {{- end }}
  {{- if not (or $entry.gateway $entry.waypoint) }}
  match:
  - mode: {{ default "SERVER" $entry.mode }}
    {{- with $entry.ports }}
    ports:
    {{- range . }}
    - number: {{ . }}
    {{- end }}
    {{- end }}
  {{- end }}
  pluginConfig:
    cluster: outbound|8080||{{ include "meshcache.host" . }}
    hot_bytes_per_worker: {{ default "4MiB" $entry.hotBytesPerWorker | quote }}
    groups: {{ if hasKey $entry "groups" }}{{ toJson $entry.groups }}{{ else }}null{{ end }}
    {{- if not (or $entry.gateway $entry.waypoint) }}
    {{- with get (dict "SERVER" "inbound" "CLIENT" "outbound") (default "SERVER" $entry.mode) }}
    side: {{ . }}
    {{- end }}
    {{- end }}
{{- end }}
{{- end -}}
