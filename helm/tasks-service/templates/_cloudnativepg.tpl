{{/* The Cluster's spec before `cloudnativepg.spec` is merged over it. */}}
{{- define "tasks-service.clusterSpec" -}}
instances: {{ .Values.cloudnativepg.instances }}
{{- with .Values.cloudnativepg.imageName }}
imageName: {{ . }}
{{- end }}
bootstrap:
  initdb:
    database: tasks
    owner: tasks
    {{- if .Values.cloudnativepg.pooler.enabled }}
    # PgBouncer refuses timeouts at connect, so that the role has to carry them.
    postInitSQL:
      - ALTER ROLE tasks SET statement_timeout = '{{ .Values.database.statementTimeoutSeconds }}s'
    {{- end }}
postgresql:
  parameters:
    max_connections: {{ .Values.cloudnativepg.maxConnections | quote }}
storage:
  {{- toYaml .Values.cloudnativepg.storage | nindent 2 }}
resources:
  {{- toYaml .Values.cloudnativepg.resources | nindent 2 }}
{{- end -}}
