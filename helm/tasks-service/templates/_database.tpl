{{/* Where the database is, and whether the pods' connections fit into it. */}}

{{- define "tasks-service.ownDatabaseSecret" -}}
{{- if and (not .Values.cloudnativepg.enabled) (not .Values.database.existingSecret) -}}true{{- end -}}
{{- end -}}

{{/* The URL the evaluation database answers on. */}}
{{- define "tasks-service.evaluationUrl" -}}
{{- $secret := include "tasks-service.databaseSecretName" . -}}
{{- $password := include "tasks-service.kept" (dict "ctx" . "secret" $secret "key" "password") -}}
{{- printf "postgresql://tasks:%s@%s:5432/tasks" $password (include "tasks-service.postgresqlName" .) -}}
{{- end -}}

{{/*
A URL of the CloudNativePG cluster. Takes (dict "ctx" . "direct" true). The operator makes user and password; the kubelet
puts them in. Its PgBouncer shows the server's certificate, which lacks the pooler's name: hence verify-ca there.
*/}}
{{- define "tasks-service.cloudnativepgUrl" -}}
{{- $host := printf "%s-rw" (include "tasks-service.clusterName" .ctx) -}}
{{- $mode := "verify-full" -}}
{{- if and .ctx.Values.cloudnativepg.pooler.enabled (not .direct) -}}
{{- $host = include "tasks-service.poolerName" .ctx -}}
{{- $mode = "verify-ca" -}}
{{- end -}}
{{- printf "postgresql://$(DATABASE_USER):$(DATABASE_PASSWORD)@%s:5432/tasks?sslmode=%s&sslrootcert=/etc/tasks-service/database-ca/ca.crt" $host $mode -}}
{{- end -}}

{{- define "tasks-service.poolerMode" -}}
{{- if .Values.cloudnativepg.enabled -}}
{{- ternary .Values.cloudnativepg.pooler.mode "none" .Values.cloudnativepg.pooler.enabled -}}
{{- else if .Values.postgresql.enabled -}}
none
{{- else -}}
{{- .Values.database.pooler.mode -}}
{{- end -}}
{{- end -}}

{{/* Migrations go round a pooler: their advisory lock belongs to a session. */}}
{{- define "tasks-service.hasDirectUrl" -}}
{{- if ne (include "tasks-service.poolerMode" .) "none" -}}true{{- end -}}
{{- end -}}

{{- define "tasks-service.caSecretName" -}}
{{- if .Values.cloudnativepg.enabled -}}
{{- printf "%s-ca" (include "tasks-service.clusterName" .) -}}
{{- else -}}
{{- .Values.database.ca.existingSecret -}}
{{- end -}}
{{- end -}}

{{- define "tasks-service.surge" -}}
{{- $replicas := int .replicas -}}
{{- if eq .strategy.type "Recreate" -}}
0
{{- else -}}
{{- $surge := toString (dig "rollingUpdate" "maxSurge" "25%" .strategy) -}}
{{- if hasSuffix "%" $surge -}}
{{- div (add (mul $replicas (trimSuffix "%" $surge | int)) 99) 100 -}}
{{- else -}}
{{- int $surge -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The connection budget. PostgreSQL refuses the connection after its last one, and it does so to whoever comes then: a
new pod in a rollout, or the migration. So a release that could get there is not rendered at all.
*/}}
{{- define "tasks-service.checkBudget" -}}
{{- $v := .Values -}}
{{- $replicas := int (ternary $v.autoscaling.maxReplicas $v.replicaCount $v.autoscaling.enabled) -}}
{{- $replicasName := ternary "autoscaling.maxReplicas" "replicaCount" $v.autoscaling.enabled -}}
{{- $surge := int (include "tasks-service.surge" (dict "replicas" $replicas "strategy" $v.strategy)) -}}
{{- $pods := add $replicas $surge -}}
{{- $pool := int $v.database.pool.max -}}
{{- /* Beside its pool a pod listens on one connection, unless a pooler would lose its LISTEN. */ -}}
{{- $listens := ternary 0 1 (eq (include "tasks-service.poolerMode" .) "transaction") -}}
{{- $wanted := mul $pods (add $pool $listens) -}}
{{- $sum := printf "%s %d + strategy surge %d, times database.pool.max %d and %d that listens = %d connections" $replicasName $replicas $surge $pool $listens $wanted -}}
{{- $reserved := int $v.database.reservedConnections -}}
{{- $limitName := "database.maxConnections" -}}
{{- $limit := int $v.database.maxConnections -}}
{{- $clientsName := "database.pooler.maxClientConnections" -}}
{{- $clients := int $v.database.pooler.maxClientConnections -}}
{{- $serversName := "database.pooler.maxServerConnections" -}}
{{- $servers := int $v.database.pooler.maxServerConnections -}}
{{- if $v.cloudnativepg.enabled -}}
{{- $limitName = "cloudnativepg.maxConnections" -}}
{{- $limit = int $v.cloudnativepg.maxConnections -}}
{{- $clientsName = "cloudnativepg.pooler.maxClientConnections times cloudnativepg.pooler.instances" -}}
{{- $clients = mul $v.cloudnativepg.pooler.maxClientConnections $v.cloudnativepg.pooler.instances -}}
{{- $serversName = "cloudnativepg.pooler.poolSize times cloudnativepg.pooler.instances" -}}
{{- $servers = mul $v.cloudnativepg.pooler.poolSize $v.cloudnativepg.pooler.instances -}}
{{- else if $v.postgresql.enabled -}}
{{- $limitName = "postgresql.maxConnections" -}}
{{- $limit = int $v.postgresql.maxConnections -}}
{{- end -}}
{{- if eq (include "tasks-service.poolerMode" .) "none" -}}
{{- if gt (add $wanted $reserved) $limit -}}
{{- $fits := max 0 (sub (div (sub $limit $reserved) $pods) $listens) -}}
{{- fail (printf "\n\nconnection budget: %s, plus database.reservedConnections %d, exceed %s %d.\nLower database.pool.max (at most %d fits) or %s, raise %s, or put a transaction pooler between.\n" $sum $reserved $limitName $limit $fits $replicasName $limitName) -}}
{{- end -}}
{{- else -}}
{{- if gt $wanted $clients -}}
{{- fail (printf "\n\nconnection budget: %s, exceed what the pooler accepts: %s = %d.\nLower database.pool.max or %s, or raise %s.\n" $sum $clientsName $clients $replicasName $clientsName) -}}
{{- end -}}
{{- if gt (add $servers $reserved) $limit -}}
{{- fail (printf "\n\nconnection budget: the pooler opens %d connections (%s), which with database.reservedConnections %d exceed %s %d.\nLower %s, or raise %s.\n" $servers $serversName $reserved $limitName $limit $serversName $limitName) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The NetworkPolicy's rule towards the database. */}}
{{- define "tasks-service.databaseEgress" -}}
{{- if .Values.cloudnativepg.enabled -}}
- ports:
    - port: 5432
      protocol: TCP
  to:
    - podSelector:
        matchLabels:
          cnpg.io/cluster: {{ include "tasks-service.clusterName" . }}
    {{- if .Values.cloudnativepg.pooler.enabled }}
    - podSelector:
        matchLabels:
          cnpg.io/poolerName: {{ include "tasks-service.poolerName" . }}
    {{- end }}
{{- else if .Values.postgresql.enabled -}}
- ports:
    - port: 5432
      protocol: TCP
  to:
    - podSelector:
        matchLabels:
          {{- include "tasks-service.selectorLabels" (dict "ctx" . "component" "postgresql") | nindent 10 }}
{{- else -}}
- ports:
    {{- range .Values.networkPolicy.databasePorts }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with .Values.networkPolicy.databaseTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}
