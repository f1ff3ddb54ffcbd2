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
    # PgBouncer refuses these at connect, so that the role has to carry them (service/database/session.py).
    postInitSQL:
      - ALTER ROLE tasks SET statement_timeout = '{{ .Values.database.statementTimeoutSeconds }}s'
      - ALTER ROLE tasks SET idle_in_transaction_session_timeout = '{{ .Values.database.statementTimeoutSeconds }}s'
      - ALTER ROLE tasks SET default_transaction_isolation = 'read committed'
      - ALTER ROLE tasks SET random_page_cost = '1.1'
      - ALTER ROLE tasks SET enable_bitmapscan = 'off'
    {{- end }}
postgresql:
  parameters:
    max_connections: {{ .Values.cloudnativepg.maxConnections | quote }}
storage:
  {{- toYaml .Values.cloudnativepg.storage | nindent 2 }}
resources:
  {{- toYaml .Values.cloudnativepg.resources | nindent 2 }}
{{- end -}}
