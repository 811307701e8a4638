{{/* What is refused because answers would reach those who may not have them. `groups`: names; none: all of them. */}}

{{/* Every one of these groups says who may have its answers: dict root, at, groups, why. */}}
{{- define "meshcache.callersWritten" -}}
{{- $at := .at }}{{ $why := .why }}{{ $groups := .groups }}
{{- with .root.Values }}
{{- if .existingConfigMap }}
{{- if not .callersAreWritten }}{{ fail (printf "%s: %s write `callers` in each group of %s ([\"*\"] if everybody may have its answers), then set callersAreWritten: the chart cannot see them" $at $why .existingConfigMap) }}{{ end }}
{{- else }}
{{- range .groups }}
{{- if and (or (empty $groups) (has .name $groups)) (empty .callers) }}{{ fail (printf "%s: %s write the `callers` of group `%s` ([\"*\"] if everybody may have its answers)" $at $why .name) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* There are groups of these names: dict root, at, groups. */}}
{{- define "meshcache.groupsKnown" -}}
{{- $at := .at }}{{ $groups := .groups }}
{{- with .root.Values }}
{{- $known := list }}
{{- range .groups }}{{ $known = append $known .name }}{{ end }}
{{- range $groups }}
{{- if and (not $.root.Values.existingConfigMap) (not (has . $known)) }}{{ fail (printf "%s: there is no group `%s`" $at .) }}{{ end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Values of older releases, by the names that they have now. */}}
{{- define "meshcache.renamed" -}}
{{- range $old, $new := dict "replicas" "replicaCount" "memory" "resources.limits.memory" "cpu" "resources.requests.cpu" -}}
{{- if hasKey $.Values $old }}{{ fail (printf "%s: this value is %s now" $old $new) }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* What coordinators would refuse at their start. */}}
{{- define "meshcache.groupsAccepted" -}}
{{- $seen := list }}
{{- range .Values.groups }}
{{- if has .name $seen }}{{ fail (printf "groups: two are named `%s`" .name) }}{{ end }}
{{- $seen = append $seen .name }}
{{- if and (ne (.fill | default "origin") "proxy") (not (dig "url" "" (.origin | default dict))) }}{{ fail (printf "groups: group `%s` has no origin.url, from which coordinators load; or write fill: proxy" .name) }}{{ end }}
{{- if and .fillers (eq (include "meshcache.identity" $) "none") }}{{ fail (printf "groups: `fillers` of group `%s` are told by their mTLS identity: set identity: xfcc, behind a sidecar that sets x-forwarded-client-cert" .name) }}{{ end }}
{{- if and .callers (not (has "*" .callers)) (eq (include "meshcache.identity" $) "none") }}{{ fail (printf "groups: `callers` of group `%s` are told apart by their mTLS identity: set identity: xfcc, behind a sidecar that sets x-forwarded-client-cert" .name) }}{{ end }}
{{- end }}
{{- if and .Values.existingConfigMap (or .Values.groups .Values.debuggers) }}{{ fail "groups: existingConfigMap is used instead of `groups` and `debuggers`; write only one of them" }}{{ end }}
{{- end -}}
