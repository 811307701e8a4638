{{/* kubecache's values over the defaults of its chart (v0.13.1), as YAML; empty: this release is not about kubecache. Nothing here may rely on our
  own defaults: `helm upgrade --reuse-values` brings only kubecache's. */}}
{{- define "meshcache.kubecache" -}}
{{- $block := .Values.kubecache | default dict -}}
{{- $written := omit $block "enabled" -}}
{{- /* These no other chart has; those that others have, too, do not say whose values they are. */ -}}
{{- $known := pick .Values "configMapProperties" "customLabels" "podHealthCheck" "redeploy" -}}
{{- $common := pick .Values "ingress" -}}
{{- if hasKey $block "enabled" | ternary $block.enabled (or $written $known) -}}
{{- with concat (keys $known) (keys $common) -}}
{{- if $written }}{{ fail (printf "%s: kubecache's values are in `kubecache`, too; write all of them there, or all of them at the top" (first (sortAlpha .))) }}{{ end -}}
{{- end -}}
{{- include "meshcache.kubecacheOnly" . -}}
{{- $shared := pick .Values "imagePullSecrets" "nameOverride" "fullnameOverride" "serviceAccount" "podAnnotations" "autoscaling" "nodeSelector" "tolerations" "affinity" "image" "replicaCount" "resources" "podSecurityContext" "securityContext" -}}
{{- /* Empty: kubecache's own. */ -}}
{{- $_ := set $shared "service" (dict) -}}
{{- range $field, $value := .Values.service }}{{ if $value }}{{ $_ := set $shared.service $field $value }}{{ end }}{{ end -}}
{{- $values := mergeOverwrite (include "meshcache.kubecacheDefaults" . | fromYaml) (deepCopy ($written | default (merge $known $common $shared))) -}}
{{- $name := $values.nameOverride | default "kubecache" -}}
{{- $full := $values.fullnameOverride | default (contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name)) -}}
{{- /* At the top `image` is kubecache's: only what its chart does not know is about ours. */ -}}
{{- $image := $written | empty | ternary (pick (.Values.image | default dict) "registry" "digest") .Values.image -}}
{{- $repository := $image.repository | default "meshcache/coordinator" -}}
{{- if $image.registry }}{{ $repository = printf "%s/%s" (trimSuffix "/" $image.registry) $repository }}{{ end -}}
{{- $image = $image.digest | empty | ternary (printf "%s:%s" $repository ($image.tag | default .Chart.AppVersion)) (printf "%s@%s" $repository $image.digest) -}}
{{- merge (dict "name" ($name | trunc 63 | trimSuffix "-") "fullname" ($full | trunc 63 | trimSuffix "-") "ours" $image) $values | toYaml -}}
{{- else -}}
{{- $alien := concat (keys $known) (keys $common) -}}
{{- range $part, $fields := dict "service" (list "targetPort") "autoscaling" (list "apiVersion") -}}
{{- range $field := $fields }}{{ if hasKey (get $.Values $part | default dict) $field }}{{ $alien = append $alien (printf "%s.%s" $part $field) }}{{ end }}{{ end -}}
{{- end -}}
{{- with $alien }}{{ fail (printf "%s is a value of kubecache's chart: set kubecache.enabled if these values are kubecache's, else use this chart's own (README.md)" (first (sortAlpha .))) }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* What has no meaning beside kubecache's values. */}}
{{- define "meshcache.kubecacheOnly" -}}
{{- range list "groups" "debuggers" "existingConfigMap" "storeBytes" "identity" -}}
{{- if get $.Values . }}{{ fail (printf "%s: kubecache's values name all that is cached; leave it out, or leave them out" .) }}{{ end -}}
{{- end -}}
{{- with $.Values.extraArgs }}{{ fail (printf "extraArgs: kubecache's mode takes no %s; set the MESHCACHE_ variable of that flag in extraEnv" (first .)) }}{{ end -}}
{{- range list "istio" "envoyGateway" "networkPolicy" -}}
{{- if (get $.Values . | default dict).enabled }}{{ fail (printf "%s.enabled is not for kubecache's values: its clients ask the Service" .) }}{{ end -}}
{{- end -}}
{{- range $part, $of := .Values.monitoring | default dict -}}
{{- if and (kindIs "map" $of) $of.enabled }}{{ fail (printf "monitoring.%s.enabled is not for kubecache's values: its podAnnotations name the metrics" $part) }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "meshcache.kubecacheDefaults" -}}
replicaCount: 1
image: {pullPolicy: IfNotPresent}
imagePullSecrets: []
nameOverride: ""
fullnameOverride: ""
serviceAccount: {create: true, annotations: {}, name: ""}
redeploy: always
podAnnotations:
  sidecar.istio.io/inject: "true"
  sidecar.istio.io/interceptionMode: TPROXY
  prometheus.io/scrape: "true"
  prometheus.io/path: /metrics
  prometheus.io/port: "3000"
podSecurityContext: {}
securityContext: {}
customLabels: {app: kubecache}
resources:
  requests: {cpu: 300m, memory: 200Mi, ephemeral-storage: 200Mi}
  limits: {cpu: 2000m, memory: 400Mi, ephemeral-storage: 200Mi}
autoscaling: {enabled: true, minReplicas: 1, maxReplicas: 100, targetCPUUtilizationPercentage: 80, apiVersion: autoscaling/v2}
nodeSelector: {}
tolerations: []
affinity: {}
service: {type: ClusterIP, port: 9000, targetPort: 8080}
podHealthCheck: {port: 8888, path: /health}
configMapProperties:
  AUTOMEMLIMIT_DEBUG: "true"
  OTEL_TRACES_SAMPLER: parentbased_traceidratio
  OTEL_TRACES_SAMPLER_ARG: "0.01"
  OTELCONFIG_EXPORTER: jaeger
  OTEL_TRACES_EXPORTER: jaeger
  OTEL_PROPAGATORS: b3multi
  OTEL_EXPORTER_OTLP_ENDPOINT: http://jaeger-collector:14268
{{- end -}}

{{/* The labels that kubecache's Deployment and Service select by; a Deployment's cannot be changed. */}}
{{- define "meshcache.kubecacheSelector" -}}
app.kubernetes.io/name: {{ .kubecache.name | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- end -}}

{{- define "meshcache.kubecacheLabels" -}}
{{ include "meshcache.kubecacheSelector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "meshcache.kubecacheAccount" -}}
{{- .kubecache.serviceAccount.name | default (.kubecache.serviceAccount.create | ternary .kubecache.fullname "default") -}}
{{- end -}}

{{- define "meshcache.kubecacheConfig" -}}
{{- tpl (toYaml .kubecache.configMapProperties) .root -}}
{{- end -}}
