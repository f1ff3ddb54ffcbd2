{{/* What the pods of the API and of the migrations have in common. */}}

{{/* Settings that are no secrets, for the ConfigMap. */}}
{{- define "tasks-service.settings" -}}
ADMIN_PORT: {{ .Values.server.adminPort | int | quote }}
{{- with .Values.limits.concurrentRequestsPerUser }}
CONCURRENT_REQUESTS_PER_USER: {{ . | int | quote }}
{{- end }}
{{- with .Values.server.corsOrigins }}
CORS_ORIGINS: {{ join "," . | quote }}
{{- end }}
CONNECTIONS_MAX: {{ .Values.limits.connections | int64 | quote }}
DB_CONNECT_TIMEOUT_SECONDS: {{ .Values.database.connectTimeoutSeconds | quote }}
DB_CONNECTION_MAX_AGE_SECONDS: {{ .Values.database.pool.maxAgeSeconds | int64 | quote }}
DB_CONNECTION_MAX_IDLE_SECONDS: {{ .Values.database.pool.maxIdleSeconds | int64 | quote }}
DB_POOLER: {{ include "tasks-service.poolerMode" . }}
DB_POOL_ACQUIRE_TIMEOUT_SECONDS: {{ .Values.database.pool.acquireTimeoutSeconds | quote }}
DB_POOL_MAX: {{ .Values.database.pool.max | int | quote }}
DB_POOL_MIN: {{ .Values.database.pool.min | int | quote }}
DB_STATEMENT_TIMEOUT_SECONDS: {{ .Values.database.statementTimeoutSeconds | quote }}
DRAIN_SECONDS: {{ .Values.server.drainSeconds | quote }}
FAILED_LOGINS_PER_ADDRESS_PER_MINUTE: {{ .Values.limits.failedLoginsPerAddressPerMinute | int | quote }}
HOST: {{ .Values.server.host | quote }}
JWT_ACCESS_TTL_SECONDS: {{ .Values.auth.accessTtlSeconds | int64 | quote }}
JWT_AUDIENCE: {{ .Values.auth.audience | quote }}
JWT_ISSUER: {{ .Values.auth.issuer | quote }}
JWT_REFRESH_LEEWAY_SECONDS: {{ .Values.auth.refreshLeewaySeconds | int64 | quote }}
JWT_REFRESH_TTL_SECONDS: {{ .Values.auth.refreshTtlSeconds | int64 | quote }}
LOGIN_ATTEMPTS_PER_MINUTE: {{ .Values.limits.loginAttemptsPerMinute | int | quote }}
LOG_FORMAT: {{ .Values.log.format }}
LOG_LEVEL: {{ .Values.log.level }}
{{- with .Values.auth.oidcAudience }}
OIDC_AUDIENCE: {{ . | quote }}
{{- end }}
{{- with .Values.auth.oidcIssuer }}
OIDC_ISSUER: {{ . | quote }}
{{- end }}
PORT: {{ .Values.server.port | int | quote }}
QUEUED_REQUESTS_PER_USER: {{ .Values.limits.queuedRequestsPerUser | int | quote }}
SERVER_TIMING: {{ .Values.server.serverTiming | quote }}
SIGNUPS_PER_ADDRESS_PER_MINUTE: {{ .Values.limits.signupsPerAddressPerMinute | int | quote }}
SLO_LATENCY_MS: {{ .Values.slo.latencyMs | int | quote }}
STREAMS_MAX: {{ .Values.limits.streams | int | quote }}
STREAMS_PER_USER_MAX: {{ .Values.limits.streamsPerUser | int | quote }}
TASKS_PER_USER_MAX: {{ .Values.limits.tasksPerUser | int64 | quote }}
TRASH_RETENTION_DAYS: {{ .Values.limits.trashRetentionDays | quote }}
TRUSTED_PROXIES: {{ include "tasks-service.trustedProxies" . | quote }}
{{- end -}}

{{/* Our own Ingress or Gateway is one proxy. Too many would let clients choose the address they are limited by. */}}
{{- define "tasks-service.trustedProxies" -}}
{{- if kindIs "invalid" .Values.server.trustedProxies -}}
{{- ternary 1 0 (or .Values.ingress.enabled .Values.httpRoute.enabled) -}}
{{- else -}}
{{- int .Values.server.trustedProxies -}}
{{- end -}}
{{- end -}}

{{/* DATABASE_URL. Takes (dict "ctx" . "direct" true); direct goes round a pooler. */}}
{{- define "tasks-service.databaseEnv" -}}
{{- if .ctx.Values.cloudnativepg.enabled -}}
{{- range $name, $key := dict "DATABASE_PASSWORD" "password" "DATABASE_USER" "username" -}}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ include "tasks-service.clusterName" $.ctx }}-app
      key: {{ $key }}
{{ end -}}
- name: DATABASE_URL
  value: {{ include "tasks-service.cloudnativepgUrl" . | quote }}
{{- else -}}
- name: DATABASE_URL_FILE
  value: /etc/tasks-service/database/{{ if and .direct (include "tasks-service.hasDirectUrl" .ctx) }}direct-url{{ else }}url{{ end }}
{{- end }}
{{- end -}}

{{- define "tasks-service.authEnv" -}}
{{- if .Values.auth.secretKey -}}
- name: JWT_SECRET_FILE
  value: /etc/tasks-service/auth/jwt-secret
{{- end }}
{{- if .Values.auth.privateKeyKey }}
- name: JWT_PRIVATE_KEY_FILE
  value: /etc/tasks-service/auth/jwt-private-key
{{- end }}
{{- end -}}

{{- define "tasks-service.databaseMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if not .Values.cloudnativepg.enabled }}
- name: database
  mountPath: /etc/tasks-service/database
  readOnly: true
{{- end }}
{{- if include "tasks-service.caSecretName" . }}
- name: database-ca
  mountPath: /etc/tasks-service/database-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "tasks-service.databaseVolumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- if not .Values.cloudnativepg.enabled }}
- name: database
  secret:
    secretName: {{ include "tasks-service.databaseSecretName" . }}
    defaultMode: 0440
    items:
      - key: {{ .Values.database.urlKey }}
        path: url
      {{- if include "tasks-service.hasDirectUrl" . }}
      - key: {{ .Values.database.directUrlKey }}
        path: direct-url
      {{- end }}
{{- end }}
{{- with include "tasks-service.caSecretName" . }}
# Only the certificate: CloudNativePG keeps the CA's private key in the same Secret.
- name: database-ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - key: {{ $.Values.database.ca.key }}
        path: ca.crt
{{- end }}
{{- end -}}

{{- define "tasks-service.authVolume" -}}
- name: auth
  secret:
    secretName: {{ include "tasks-service.authSecretName" . }}
    defaultMode: 0440
    items:
      {{- with .Values.auth.secretKey }}
      - key: {{ . }}
        path: jwt-secret
      {{- end }}
      {{- with .Values.auth.privateKeyKey }}
      - key: {{ . }}
        path: jwt-private-key
      {{- end }}
{{- end -}}

{{/* The container that migrates. Takes (dict "ctx" . "args" (list "upgrade")). */}}
{{- define "tasks-service.migrationContainer" -}}
{{- $v := .ctx.Values -}}
- name: migrate
  image: {{ include "tasks-service.image" (dict "image" $v.image "tag" .ctx.Chart.AppVersion) }}
  imagePullPolicy: {{ $v.image.pullPolicy }}
  args: {{ concat (list "migrate") .args | toJson }}
  env:
    {{- include "tasks-service.databaseEnv" (dict "ctx" .ctx "direct" true) | nindent 4 }}
    - name: DB_CONNECT_TIMEOUT_SECONDS
      value: {{ $v.database.connectTimeoutSeconds | quote }}
    - name: LOG_FORMAT
      value: {{ $v.log.format }}
    - name: LOG_LEVEL
      value: {{ $v.log.level }}
  securityContext:
    {{- toYaml $v.securityContext | nindent 4 }}
  resources:
    {{- toYaml $v.migrations.resources | nindent 4 }}
  volumeMounts:
    {{- include "tasks-service.databaseMounts" .ctx | nindent 4 }}
{{- end -}}

{{/* The pod of a migration Job. Takes what migrationContainer takes. The account is the namespace's default, since a
hook runs before the release's own exists, and no token is mounted anyway. */}}
{{- define "tasks-service.migrationPod" -}}
{{- $v := .ctx.Values -}}
metadata:
  labels:
    {{- include "tasks-service.labels" (dict "ctx" .ctx "component" "migration") | nindent 4 }}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with $v.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml $v.podSecurityContext | nindent 4 }}
  containers:
    {{- include "tasks-service.migrationContainer" . | nindent 4 }}
  volumes:
    {{- include "tasks-service.databaseVolumes" .ctx | nindent 4 }}
  {{- with $v.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
