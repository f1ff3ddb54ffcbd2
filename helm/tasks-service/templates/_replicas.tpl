{{/* How many pods there are, and how long each of them stays when it is asked to go. */}}

{{- define "tasks-service.leastPods" -}}
{{- ternary .Values.autoscaling.minReplicas .Values.replicaCount .Values.autoscaling.enabled | int -}}
{{- end -}}

{{/*
The Deployment's `replicas`; nothing where the autoscaler has them. A field that the last release had and this one
leaves out is taken away, and the API then fills in 1: hence, as long as the number is still Helm's, what runs now.
Helm's own is what it has applied on the server's side; where it merges on its own side, as Helm 3 does, nobody can tell.
*/}}
{{- define "tasks-service.replicas" -}}
{{- if not .Values.autoscaling.enabled -}}
{{- .Values.replicaCount -}}
{{- else if $running := lookup "apps/v1" "Deployment" .Release.Namespace (include "tasks-service.fullname" .) -}}
{{- $applied := false -}}
{{- $ours := false -}}
{{- range $running.metadata.managedFields -}}
{{- $spec := dig "f:spec" dict (.fieldsV1 | default dict) -}}
{{- if and (eq .operation "Apply") (hasKey $spec "f:template") -}}
{{- $applied = true -}}
{{- $ours = or $ours (hasKey $spec "f:replicas") -}}
{{- end -}}
{{- end -}}
{{- if or $ours (not $applied) -}}
{{- max $running.spec.replicas .Values.autoscaling.minReplicas -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
A pod that is asked to go is no endpoint any more, but where no other one is ready, kube-proxy still sends to those
that serve. So the only pod goes on serving until its successor is ready; two or more have each other.
*/}}
{{- define "tasks-service.preStopSleep" -}}
{{- default (include "tasks-service.waitForSuccessor" .) .Values.preStopSleepSeconds | int -}}
{{- end -}}

{{/* Only where nobody has said how long. */}}
{{- define "tasks-service.waitForSuccessor" -}}
{{- $single := and (eq (include "tasks-service.leastPods" .) "1") (eq .Values.strategy.type "RollingUpdate") -}}
{{- ternary 30 0 (and $single (kindIs "invalid" .Values.preStopSleepSeconds)) -}}
{{- end -}}
