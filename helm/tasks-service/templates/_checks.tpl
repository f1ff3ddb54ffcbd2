{{/* What values.schema.json cannot say: sums, comparisons, and the new names of old values. */}}

{{- define "tasks-service.renamedValues" -}}
affinities: affinity
database.pooling: database.pooler.mode
database.poolSize: database.pool.max
env: extraEnv
externalDatabase: database
gateway: httpRoute
hpa: autoscaling
image.name: image.repository
image.pullSecrets: imagePullSecrets
jwt: auth
logFormat: log.format
logLevel: log.level
metrics.enabled: metrics.serviceMonitor.enabled
migration: migrations
migrations.enabled: migrations.mode
pdb: podDisruptionBudget
postgres: postgresql
replicas: replicaCount
serviceMonitor: metrics.serviceMonitor
{{- end -}}

{{- define "tasks-service.checkRenamed" -}}
{{- $values := .Values -}}
{{- $wrong := list -}}
{{- range $old, $new := fromYaml (include "tasks-service.renamedValues" .) -}}
{{- $path := splitList "." $old -}}
{{- $holder := $values -}}
{{- if eq (len $path) 2 -}}
{{- $holder = index $values (first $path) -}}
{{- end -}}
{{- if hasKey $holder (last $path) -}}
{{- $wrong = append $wrong (printf "  %s is now %s" $old $new) -}}
{{- end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\nvalues that have another name:\n%s\n" (join "\n" $wrong)) -}}
{{- end -}}
{{- end -}}

{{/*
A downgrade takes away what pods of its own image work on, and each of them that starts would migrate up again. Whoever
only renders the Job (helm template) has no pods in the release; those in the cluster can be seen with --dry-run=server.
*/}}
{{- define "tasks-service.checkDowngrade" -}}
{{- if and .Values.migrations.job.enabled (eq .Values.migrations.job.action "downgrade") -}}
{{- $image := include "tasks-service.image" (dict "image" .Values.image "tag" .Chart.AppVersion) -}}
{{- $name := include "tasks-service.fullname" . -}}
{{- $pods := 0 -}}
{{- with lookup "apps/v1" "Deployment" .Release.Namespace $name -}}
{{- range .spec.template.spec.containers -}}
{{- if and (eq .name "tasks-service") (eq .image $image) -}}
{{- $pods = 1 -}}
{{- end -}}
{{- end -}}
{{- $pods = mul $pods (dig "status" "replicas" 0 .) -}}
{{- end -}}
{{- if or (gt (int $pods) 0) (and .Release.IsUpgrade (or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 0))) -}}
{{- fail (printf "\n\na downgrade beside pods of the same image (%s) takes their tables away.\nRoll back first, so that pods of the release before run (helm rollback), or take the pods down (replicaCount=0, autoscaling.enabled=false); then render the Job alone, see docs/operations.md\n" $image) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tasks-service.checkValues" -}}
{{- $v := .Values -}}
{{- if not (regexMatch "^[a-z]" (include "tasks-service.fullname" .)) -}}
{{- fail "\n\nthe name of a Service begins with a letter, and those of this release would not: set fullnameOverride\n" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- fail "\n\nautoscaling.minReplicas is above autoscaling.maxReplicas\n" -}}
{{- end -}}
{{- $resources := $v.resources | default dict -}}
{{- if and $v.autoscaling.enabled (not (dig "requests" "cpu" (dig "limits" "cpu" "" $resources) $resources)) -}}
{{- fail "\n\nautoscaling counts in parts of resources.requests.cpu: set it\n" -}}
{{- end -}}
{{- $rolling := $v.strategy.rollingUpdate | default dict -}}
{{- $surge := toString (dig "maxSurge" "25%" $rolling) -}}
{{- $missing := toString (dig "maxUnavailable" "25%" $rolling) -}}
{{- if and (eq $v.strategy.type "RollingUpdate") (has $surge (list "0" "0%")) (has $missing (list "0" "0%")) -}}
{{- fail "\n\nstrategy.rollingUpdate.maxSurge and maxUnavailable are both 0: no pod could ever be replaced\n" -}}
{{- end -}}
{{- range $name := list "serviceMonitor" "podMonitor" -}}
{{- $monitor := get $v.metrics $name -}}
{{- if lt (include "tasks-service.milliseconds" $monitor.interval | int64) (include "tasks-service.milliseconds" $monitor.scrapeTimeout | int64) -}}
{{- fail (printf "\n\nmetrics.%s.scrapeTimeout is above interval: the Prometheus Operator would leave the monitor out\n" $name) -}}
{{- end -}}
{{- end -}}
{{- if and $v.auth.oidcIssuer (eq $v.auth.oidcIssuer $v.auth.issuer) -}}
{{- fail "\n\nauth.oidcIssuer is the value of auth.issuer too: nobody could tell their tokens apart\n" -}}
{{- end -}}
{{- if or $v.postgresql.enabled $v.cloudnativepg.enabled -}}
{{- if or $v.database.existingSecret $v.database.url $v.database.directUrl (ne $v.database.pooler.mode "none") -}}
{{- fail "\n\ndatabase.existingSecret, url, directUrl and pooler.mode describe an external database: set postgresql.enabled=false and cloudnativepg.enabled=false with them\n" -}}
{{- end -}}
{{- end -}}
{{- if gt (int $v.database.pool.min) (int $v.database.pool.max) -}}
{{- fail "\n\ndatabase.pool.min is above database.pool.max\n" -}}
{{- end -}}
{{- if gt (int $v.limits.concurrentRequestsPerUser) (int $v.database.pool.max) -}}
{{- fail "\n\nlimits.concurrentRequestsPerUser is above database.pool.max: one user's requests would fill the pool\n" -}}
{{- end -}}
{{- $end := max 12 (add (ceil $v.database.statementTimeoutSeconds | int) 10) -}}
{{- $grace := add (.Values.preStopSleepSeconds | int) (ceil $v.server.drainSeconds | int) $end -}}
{{- if lt (int $v.terminationGracePeriodSeconds) (int $grace) -}}
{{- fail (printf "\n\nterminationGracePeriodSeconds must be at least preStopSleepSeconds + server.drainSeconds + %d = %d, else pods are killed with requests in flight\n" $end $grace) -}}
{{- end -}}
{{- if eq (int $v.server.port) (int $v.server.adminPort) -}}
{{- fail "\n\nserver.port and server.adminPort must differ: the admin port is not for the public\n" -}}
{{- end -}}
{{- end -}}
