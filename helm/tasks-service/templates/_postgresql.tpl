{{/* The evaluation server. */}}
{{- define "tasks-service.postgresqlContainer" -}}
- name: postgresql
  image: {{ include "tasks-service.image" (dict "image" .Values.postgresql.image "tag" "18") }}
  imagePullPolicy: {{ .Values.postgresql.image.pullPolicy }}
  args: [-c, max_connections={{ .Values.postgresql.maxConnections }}]
  env:
    - name: POSTGRES_DB
      value: tasks
    - name: POSTGRES_USER
      value: tasks
    - name: POSTGRES_PASSWORD_FILE
      value: /run/secrets/postgresql/password
    - name: PGDATA
      value: /var/lib/postgresql/pgdata
  ports:
    - name: postgresql
      containerPort: 5432
      protocol: TCP
  # By TCP: the server that runs the image's first-start scripts has only a socket, and must not count as ready.
  startupProbe:
    exec:
      command: [pg_isready, -h, 127.0.0.1, -U, tasks, -d, tasks]
    periodSeconds: 2
    timeoutSeconds: 5
    failureThreshold: 60
  livenessProbe:
    exec:
      command: [pg_isready, -h, 127.0.0.1, -U, tasks, -d, tasks]
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  readinessProbe:
    exec:
      command: [pg_isready, -h, 127.0.0.1, -U, tasks, -d, tasks]
    periodSeconds: 5
    timeoutSeconds: 5
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
  resources:
    {{- toYaml .Values.postgresql.resources | nindent 4 }}
  volumeMounts:
    - name: data
      mountPath: /var/lib/postgresql
    - name: run
      mountPath: /var/run/postgresql
    - name: tmp
      mountPath: /tmp
    - name: password
      mountPath: /run/secrets/postgresql
      readOnly: true
{{- end -}}

{{/*
A label more or less restarts the server: so none with the chart's version, and those that an earlier chart gave to a
server that runs stay as they are.
*/}}
{{- define "tasks-service.postgresqlPodLabels" -}}
{{ include "tasks-service.selectorLabels" (dict "ctx" . "component" "postgresql") }}
{{- $running := lookup "apps/v1" "StatefulSet" .Release.Namespace (include "tasks-service.postgresqlName" .) -}}
{{- $labels := dig "spec" "template" "metadata" "labels" dict $running -}}
{{- with pick $labels "app.kubernetes.io/managed-by" "app.kubernetes.io/version" "helm.sh/chart" }}
{{ toYaml . }}
{{- end }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}
