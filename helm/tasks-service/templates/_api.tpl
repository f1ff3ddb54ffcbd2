{{/* The container that serves. */}}
{{- define "tasks-service.apiContainer" -}}
- name: tasks-service
  image: {{ include "tasks-service.image" (dict "image" .Values.image "tag" .Chart.AppVersion) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: [serve]
  envFrom:
    - configMapRef:
        name: {{ include "tasks-service.fullname" . }}
  env:
    {{- include "tasks-service.databaseEnv" (dict "ctx" . "direct" false) | nindent 4 }}
    {{- include "tasks-service.authEnv" . | nindent 4 }}
    {{- with .Values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: http
      containerPort: {{ .Values.server.port }}
      protocol: TCP
    - name: admin
      containerPort: {{ .Values.server.adminPort }}
      protocol: TCP
  # Liveness never asks the database: a restart does not repair it.
  startupProbe:
    httpGet:
      path: /livez
      port: admin
    {{- toYaml .Values.probes.startup | nindent 4 }}
  livenessProbe:
    httpGet:
      path: /livez
      port: admin
    {{- toYaml .Values.probes.liveness | nindent 4 }}
  readinessProbe:
    httpGet:
      path: /readyz
      port: admin
    {{- toYaml .Values.probes.readiness | nindent 4 }}
  {{- with include "tasks-service.preStopSleep" . | int }}
  lifecycle:
    preStop:
      sleep:
        seconds: {{ . }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  resources:
    {{- toYaml .Values.resources | nindent 4 }}
  volumeMounts:
    {{- include "tasks-service.databaseMounts" . | nindent 4 }}
    - name: auth
      mountPath: /etc/tasks-service/auth
      readOnly: true
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
