{{- define "meshcache.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- (contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name)) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "meshcache.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "meshcache.labels" -}}
{{ include "meshcache.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The coordinators' pods; the hooks' pods have another component, so that no Service or policy takes one for the other. */}}
{{- define "meshcache.coordinators" -}}
{{ include "meshcache.selector" . }}
app.kubernetes.io/component: coordinator
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
{{- $repository := empty .registry | ternary .repository (printf "%s/%s" .registry .repository) -}}
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

{{- define "meshcache.grace" -}}
{{ add .Values.drainSeconds 15 }}
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
  namespace: {{ .Release.Namespace }}
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
      serviceAccountName: {{ $.account }}
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
      priorityClassName: {{ . }}
      {{- end }}
      securityContext: {{- include "meshcache.podSecurity" . | nindent 8 }}
      containers:
      - name: hook
        image: {{ include "meshcache.image" . }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        args: {{- toYaml $.args | nindent 8 }}
        securityContext: {{- include "meshcache.containerSecurity" . | nindent 10 }}
        resources:
          requests: {cpu: 10m, memory: 64Mi}
          limits: {memory: 64Mi}
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
