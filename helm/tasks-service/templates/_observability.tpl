{{/*
What alerts and dashboard take from the values. `le` is the label of the histogram's bucket, as the service's client
library writes the number: 0.2, and 1.0 rather than 1. `pods` finds the Deployment's pods whichever of ServiceMonitor,
PodMonitor or annotations leads Prometheus to them.
*/}}
{{- define "tasks-service.observability" -}}
{{- $name := include "tasks-service.fullname" . -}}
{{- $pods := printf "%s-[a-z0-9]+-[a-z0-9]{5}" $name -}}
{{- $le := divf .Values.slo.latencyMs 1000 | toString -}}
{{- if not (contains "." $le) }}{{ $le = printf "%s.0" $le }}{{ end -}}
service: {{ $name }}
namespace: {{ .Release.Namespace | quote }}
pods: {{ printf "namespace=%q, pod=~%q" .Release.Namespace $pods | quote }}
recorded: {{ printf "namespace=%q, service=%q" .Release.Namespace $name | quote }}
le: {{ $le | quote }}
latency_ms: {{ .Values.slo.latencyMs | int | quote }}
latency_target: {{ .Values.slo.latencyTarget | quote }}
availability: {{ .Values.slo.availability | quote }}
min_requests_per_hour: {{ .Values.slo.minRequestsPerHour | int | quote }}
connection_budget: {{ include "tasks-service.connectionBudget" . | trim | quote }}
runbooks: {{ .Values.metrics.prometheusRule.runbookBaseUrl | trimSuffix "/" | quote }}
{{- end }}

{{/* Connections that all pods together can have: PostgreSQL's less the reserve, or what the pooler accepts. */}}
{{- define "tasks-service.connectionBudget" -}}
{{- $v := .Values -}}
{{- if eq (include "tasks-service.poolerMode" .) "none" -}}
{{- $server := $v.database -}}
{{- if $v.cloudnativepg.enabled -}}
{{- $server = $v.cloudnativepg -}}
{{- else if $v.postgresql.enabled -}}
{{- $server = $v.postgresql -}}
{{- end -}}
{{- sub $server.maxConnections $v.database.reservedConnections -}}
{{- else if $v.cloudnativepg.enabled -}}
{{- mul $v.cloudnativepg.pooler.maxClientConnections $v.cloudnativepg.pooler.instances -}}
{{- else -}}
{{- int $v.database.pooler.maxClientConnections -}}
{{- end -}}
{{- end }}
