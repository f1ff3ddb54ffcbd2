{{/* Names, labels and images: every template takes them from here. */}}

{{- define "tasks-service.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
40 characters leave room for the longest suffix (Job names carry action and revision). A release that is called as the
chart begins (`tasks`) takes the chart's name, not tasks-tasks-service. A release's name may have dots, a Service's not.
*/}}
{{- define "tasks-service.fullname" -}}
{{- $name := include "tasks-service.name" . -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name $release -}}
{{- $release | trunc 40 | trimSuffix "-" -}}
{{- else if hasPrefix (printf "%s-" $release) $name -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" $release $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tasks-service.adminName" -}}
{{- printf "%s-admin" (include "tasks-service.fullname" .) -}}
{{- end -}}

{{- define "tasks-service.migrationName" -}}
{{- printf "%s-migrate" (include "tasks-service.fullname" .) -}}
{{- end -}}

{{- define "tasks-service.testName" -}}
{{- printf "%s-test" (include "tasks-service.fullname" .) -}}
{{- end -}}

{{- define "tasks-service.postgresqlName" -}}
{{- printf "%s-postgresql" (include "tasks-service.fullname" .) -}}
{{- end -}}

{{- define "tasks-service.clusterName" -}}
{{- printf "%s-db" (include "tasks-service.fullname" .) -}}
{{- end -}}

{{- define "tasks-service.poolerName" -}}
{{- printf "%s-pooler" (include "tasks-service.fullname" .) -}}
{{- end -}}

{{- define "tasks-service.authSecretName" -}}
{{- default (printf "%s-auth" (include "tasks-service.fullname" .)) .Values.auth.existingSecret -}}
{{- end -}}

{{- define "tasks-service.databaseSecretName" -}}
{{- default (printf "%s-database" (include "tasks-service.fullname" .)) .Values.database.existingSecret -}}
{{- end -}}

{{- define "tasks-service.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tasks-service.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Takes (dict "ctx" . "component" "api"). */}}
{{- define "tasks-service.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tasks-service.name" .ctx | quote }}
app.kubernetes.io/instance: {{ .ctx.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Takes (dict "ctx" . "component" "api" "more" .Values.podLabels); the latter win over `commonLabels`. */}}
{{- define "tasks-service.labels" -}}
{{ include "tasks-service.selectorLabels" . }}
app.kubernetes.io/version: {{ .ctx.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .ctx.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .ctx.Chart.Name .ctx.Chart.Version | replace "+" "_" }}
{{- with mergeOverwrite dict (.ctx.Values.commonLabels | default dict) (.more | default dict) }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Takes (dict "image" .Values.image "tag" "used when there is none"). */}}
{{- define "tasks-service.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}

{{/*
A secret value that stays: the cluster's if it is there, else a new one. Takes (dict "ctx" . "secret" name "key" key).
Remembered for the rest of this render, as the Secret, its checksum and the URL that quotes it must agree.
*/}}
{{- define "tasks-service.kept" -}}
{{- $values := .ctx.Values -}}
{{- if not (hasKey $values "kept") -}}
{{- $_ := set $values "kept" dict -}}
{{- end -}}
{{- $id := printf "%s/%s" .secret .key -}}
{{- if not (hasKey $values.kept $id) -}}
{{- $found := (lookup "v1" "Secret" .ctx.Release.Namespace .secret).data | default dict -}}
{{- $_ := set $values.kept $id (index $found .key | default "" | b64dec | default (randAlphaNum 48)) -}}
{{- end -}}
{{- index $values.kept $id -}}
{{- end -}}
