{{/* At most 48 characters: with what is put behind it (-attach-remove), a Job's name still fits a label. */}}
{{- define "meshcache.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := default (contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name)) .Values.fullnameOverride -}}
{{- $full = $full | replace "." "-" | trunc 48 | trimSuffix "-" -}}
{{- if not (regexMatch "^[a-z]" $full) }}{{ fail (printf "a Service cannot be named %s: its name begins with a letter; set fullnameOverride" $full) }}{{ end -}}
{{- $full -}}
{{- end -}}

{{- define "meshcache.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "meshcache.labels" -}}
{{ include "meshcache.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* A size as it is written; a large number alone would become 6e+08. */}}
{{- define "meshcache.size" -}}
{{- kindIs "string" . | ternary . (int64 . | toString) -}}
{{- end -}}

{{/* The number of bytes of a size, as Kubernetes (1Gi, 1G, 1.5Gi) or a coordinator (1GiB, 1GB) writes it. */}}
{{- define "meshcache.bytes" -}}
{{- $text := include "meshcache.size" . -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "K" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 -}}
{{- $unit := regexFind "[A-Za-z]*$" $text | trimSuffix "B" -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $units $unit | default 1 | float64) | int64 -}}
{{- end -}}

{{/* The coordinators' pods; the hooks' pods have another component, so that no Service or policy takes one for the other. */}}
{{- define "meshcache.coordinators" -}}
{{ include "meshcache.selector" . }}
app.kubernetes.io/component: coordinator
{{- end -}}

{{/* All labels of the coordinators' pods. What is written in the values adds to them, and cannot take the selector's away. */}}
{{- define "meshcache.podLabels" -}}
{{- $ours := merge (fromYaml (include "meshcache.labels" .)) (fromYaml (include "meshcache.coordinators" .)) -}}
{{- if .Values.istio.enabled }}{{ $ours = merge $ours (.Values.istio.revision | empty | ternary (dict "sidecar.istio.io/inject" "true") (dict "istio.io/rev" .Values.istio.revision)) }}{{ end -}}
{{- toYaml (merge $ours .Values.podLabels) -}}
{{- end -}}

{{/* What is written in the values wins here, and in the sidecar's configuration field by field. */}}
{{- define "meshcache.podAnnotations" -}}
{{- $ours := dict "kubectl.kubernetes.io/default-container" "coordinator" -}}
{{- if .Values.monitoring.annotations }}{{ $ours = merge $ours (dict "prometheus.io/scrape" "true" "prometheus.io/port" "8082" "prometheus.io/path" "/metrics") }}{{ end -}}
{{- /* The sidecar stays for as long as we drain: without it nobody could reach us, nor we the origins and peers. */ -}}
{{- $theirs := deepCopy .Values.podAnnotations -}}
{{- if .Values.istio.enabled -}}
{{- $sidecar := get $theirs "proxy.istio.io/config" | fromYaml -}}
{{- if hasKey $sidecar "Error" }}{{ fail "podAnnotations: proxy.istio.io/config must be the fields of a ProxyConfig, as YAML (`concurrency: 2`)" }}{{ end -}}
{{- $drain := dict "holdApplicationUntilProxyStarts" true "terminationDrainDuration" (printf "%vs" (add .Values.drainSeconds 5)) -}}
{{- $theirs = set $theirs "proxy.istio.io/config" (mergeOverwrite $drain $sidecar | toJson) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $ours $theirs) -}}
{{- end -}}

{{- define "meshcache.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "meshcache.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "meshcache.image" -}}
{{- with .Values.image -}}
{{- $repository := empty .registry | ternary .repository (printf "%s/%s" (trimSuffix "/" .registry) .repository) -}}
{{- if .digest -}}{{ $repository }}@{{ .digest }}{{- else -}}{{ $repository }}:{{ default $.Chart.AppVersion .tag }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "meshcache.secret" -}}
{{- default (printf "%s-tokens" (include "meshcache.fullname" .)) .Values.auth.existingSecret -}}
{{- end -}}

{{- define "meshcache.identity" -}}
{{- default (.Values.istio.enabled | ternary "xfcc" "none") .Values.identity -}}
{{- end -}}

{{/* The Service's full name, as Istio knows it. */}}
{{- define "meshcache.host" -}}
{{ include "meshcache.fullname" . }}.{{ .Release.Namespace }}.svc.{{ .Values.istio.clusterDomain }}
{{- end -}}

{{/* The defaults are here and not in values.yaml, so that kubecache's chart may have others for what is not written. */}}
{{- define "meshcache.autoscaling" -}}
{{- mergeOverwrite (dict "enabled" false "minReplicas" 3 "maxReplicas" 10 "targetCPUUtilizationPercentage" 70) .Values.autoscaling | toYaml -}}
{{- end -}}

{{/* How many coordinators; with autoscaling nothing, or as many as there are: were the field that a release before has written only left out, it
  would fall back to one. What is rendered without a cluster has nothing to look up. Helm 3 must write it for good. Helm 4 (server-side apply) only
  for as long as the field is its own: once the autoscaler has changed the number, whoever writes another one, as a rollback would, is refused. */}}
{{- define "meshcache.replicas" -}}
{{- if not (include "meshcache.autoscaling" . | fromYaml).enabled -}}
{{- .Values.replicaCount -}}
{{- else if .Release.IsUpgrade -}}
{{- with lookup "apps/v1" "StatefulSet" .Release.Namespace (include "meshcache.fullname" .) -}}
{{- $ours := true -}}
{{- range .metadata.managedFields -}}
{{- $spec := dig "f:spec" dict .fieldsV1 -}}
{{- if and (eq .operation "Apply") (hasKey $spec "f:template") -}}{{- $ours = hasKey $spec "f:replicas" -}}{{- end -}}
{{- end -}}
{{- if $ours -}}{{- .spec.replicas -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "meshcache.grace" -}}
{{ add .Values.drainSeconds 15 }}
{{- end -}}

{{/* Of the coordinators, as YAML. A memory that is written once is request and limit: the store is a share of the limit. */}}
{{- define "meshcache.resources" -}}
{{- $limit := dig "limits" "memory" "" .Values.resources -}}
{{- $request := dig "requests" "memory" "" .Values.resources -}}
{{- $memory := $limit | default $request | default "1Gi" -}}
{{- $ours := dict "requests" (dict "cpu" "250m" "memory" $memory) "limits" (dict "memory" $memory) -}}
{{- mergeOverwrite $ours (deepCopy .Values.resources) | toYaml -}}
{{- end -}}

{{/* Of what hooks and `helm test` run, as YAML. */}}
{{- define "meshcache.hookResources" -}}
{{- mergeOverwrite (dict "requests" (dict "cpu" "10m" "memory" "64Mi") "limits" (dict "memory" "64Mi")) (deepCopy .Values.hooks.resources) | toYaml -}}
{{- end -}}

{{/* The data port of the Service. */}}
{{- define "meshcache.port" -}}
{{- .Values.service.port | default 8080 -}}
{{- end -}}

{{/* What passes the pod security level `restricted`, and what the values write over it. */}}
{{- define "meshcache.podSecurityOf" -}}
{{- mergeOverwrite (include "meshcache.podSecurity" . | fromYaml) (deepCopy .Values.podSecurityContext) | toYaml -}}
{{- end -}}

{{- define "meshcache.containerSecurityOf" -}}
{{- mergeOverwrite (include "meshcache.containerSecurity" . | fromYaml) (deepCopy .Values.securityContext) | toYaml -}}
{{- end -}}

{{/* What passes the pod security level `restricted`. */}}
{{- define "meshcache.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "meshcache.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* A hook's Job: dict root, name, hook, weight, account, args, and optionally mount (a ConfigMap at /attach). */}}
{{- define "meshcache.job" -}}
{{- with .root }}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $.name }}
  namespace: {{ .Release.Namespace | quote }}
  labels: {{- include "meshcache.labels" . | nindent 4 }}
  annotations:
    helm.sh/hook: {{ $.hook }}
    helm.sh/hook-weight: {{ $.weight | quote }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  backoffLimit: 3
  activeDeadlineSeconds: {{ add .Values.istio.hookTimeoutSeconds 60 }}
  template:
    metadata:
      labels:
        {{- include "meshcache.selector" . | nindent 8 }}
        app.kubernetes.io/component: hook
        # A Job with a classic sidecar never ends, and what it talks to needs none.
        sidecar.istio.io/inject: "false"
    spec:
      restartPolicy: Never
      serviceAccountName: {{ $.account | quote }}
      automountServiceAccountToken: true
      enableServiceLinks: false
      {{- with .Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
      securityContext: {{- include "meshcache.podSecurityOf" . | nindent 8 }}
      containers:
      - name: hook
        image: {{ include "meshcache.image" . }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        args: {{- toYaml $.args | nindent 8 }}
        securityContext: {{- include "meshcache.containerSecurityOf" . | nindent 10 }}
        resources: {{- include "meshcache.hookResources" . | nindent 10 }}
        {{- with $.mount }}
        volumeMounts:
        - {name: attach, mountPath: /attach, readOnly: true}
        {{- end }}
      {{- with $.mount }}
      volumes:
      - name: attach
        # Not there before the first release that attaches anything.
        configMap: {name: {{ . }}, optional: true}
      {{- end }}
{{- end }}
{{- end -}}
