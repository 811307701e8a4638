{{/* One entry of istio.attach as a WasmPlugin: dict root, entry. */}}
{{- define "meshcache.plugin" -}}
{{- $entry := .entry }}
{{- with .root }}
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata:
  name: {{ $entry.name | quote }}
  namespace: {{ $entry.namespace | quote }}
  labels: {{- include "meshcache.labels" . | nindent 4 }}
  annotations:
    # Whoever makes it, it is the release's: so a module with a URL of its own can be written later.
    meta.helm.sh/release-name: {{ .Release.Name | quote }}
    meta.helm.sh/release-namespace: {{ .Release.Namespace | quote }}
spec:
  {{- with .Values.istio.module }}
  {{- if .url }}
  url: {{ .url | quote }}
  {{- with .sha256 }}
  sha256: {{ . | quote }}
  {{- end }}
  {{- with .pullSecret }}
  imagePullSecret: {{ . | quote }}
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
  {{- $whole := or $entry.gateway $entry.waypoint }}
  {{- with $whole }}
  targetRefs:
  - {group: gateway.networking.k8s.io, kind: Gateway, name: {{ . | quote }}}
  {{- end }}
  {{- with $entry.selector }}
  selector:
    matchLabels: {{- toYaml . | nindent 6 }}
  {{- end }}
  {{- if or (not $whole) $entry.ports }}
  match:
  - mode: {{ empty $whole | not | ternary "CLIENT_AND_SERVER" (default "SERVER" $entry.mode) }}
    {{- with $entry.ports }}
    ports:
    {{- range . }}
    - number: {{ . }}
    {{- end }}
    {{- end }}
  {{- end }}
  pluginConfig:
    cluster: outbound|{{ include "meshcache.port" . }}||{{ include "meshcache.host" . }}
    hot_bytes_per_worker: {{ include "meshcache.size" (hasKey $entry "hotBytesPerWorker" | ternary $entry.hotBytesPerWorker "4MiB") | quote }}
    groups: {{ empty $entry.groups | ternary "null" (toJson $entry.groups) }}
    {{- with $entry.routes }}
    routes: {{ . }}
    {{- end }}
    {{- if not $whole }}
    {{- with get (dict "SERVER" "inbound" "CLIENT" "outbound") (default "SERVER" $entry.mode) }}
    side: {{ . }}
    {{- end }}
    {{- end }}
{{- end }}
{{- end -}}
