{{- define "audit-trail.labels" -}}
app.kubernetes.io/name: audit-trail
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "audit-trail.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{- /* A pod without rights on the node: its files are read-only, and it has no token for the cluster. */ -}}
{{- define "audit-trail.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .root.Values.runAsUser }}
  runAsGroup: {{ .root.Values.runAsUser }}
  fsGroup: {{ .root.Values.runAsUser }}
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: {medium: Memory, sizeLimit: 64Mi}
  - name: secrets
    secret:
      secretName: {{ required (printf "existingSecret of %s" .name) .part.existingSecret }}
      defaultMode: 0440
      items:
        {{- range .part.secretKeys }}
        - {key: {{ . }}, path: {{ . }}}
        {{- end }}
  {{- if eq .name "serve" }}
  - name: exports
    {{- with .root.Values.exports.existingClaim }}
    persistentVolumeClaim: {claimName: {{ . }}}
    {{- else }}
    emptyDir: {sizeLimit: {{ .root.Values.exports.size }}}
    {{- end }}
  {{- end }}
  {{- if eq .name "watch" }}
  - name: watch
    configMap: {name: {{ .root.Release.Name }}-watch}
  {{- end }}
  {{- if eq .name "forward" }}
  - name: followers
    configMap:
      name: {{ required "forwarding.existingConfigMap" .root.Values.forwarding.existingConfigMap }}
  {{- with .root.Values.forwarding.existingSecret }}
  - name: receivers
    secret: {secretName: {{ . }}, defaultMode: 0440}
  {{- end }}
  {{- end }}
  {{- with .root.Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "audit-trail.container" -}}
name: {{ .name }}
image: {{ include "audit-trail.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: [{{ .name }}{{ if eq .name "forward" }}, run{{ end }}]
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: secrets, mountPath: /run/secrets/audit-trail, readOnly: true}
  {{- if eq .name "serve" }}
  - {name: exports, mountPath: /exports}
  {{- end }}
  {{- if eq .name "watch" }}
  - {name: watch, mountPath: /etc/audit-trail, readOnly: true}
  {{- end }}
  {{- if eq .name "forward" }}
  - {name: followers, mountPath: /etc/audit-trail, readOnly: true}
  {{- if .root.Values.forwarding.existingSecret }}
  - {name: receivers, mountPath: /run/secrets/forwarding, readOnly: true}
  {{- end }}
  {{- end }}
  {{- with .root.Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
resources: {{- toYaml .part.resources | nindent 2 }}
env:
  {{- range $name, $value := merge dict (default dict .part.settings) .root.Values.settings }}
  - {name: AUDIT_TRAIL_{{ $name }}, value: {{ $value | toString | quote }}}
  {{- end }}
  {{- if eq .name "serve" }}
  {{- /* The temporary folder is a folder of this volume when there is no claim. */}}
  - {name: {{ ternary "AUDIT_TRAIL_EXPORT_FOLDER" "TMPDIR" (ne .root.Values.exports.existingClaim "") }}, value: /exports}
  {{- end }}
  {{- if eq .name "watch" }}
  - {name: AUDIT_TRAIL_WATCH_FILE, value: /etc/audit-trail/watch.yaml}
  {{- end }}
  {{- if eq .name "forward" }}
  - {name: AUDIT_TRAIL_FORWARDING_FILE, value: /etc/audit-trail/forwarding.toml}
  {{- end }}
  {{- range .part.secretKeys }}
  - {name: AUDIT_TRAIL_{{ . }}_FILE, value: /run/secrets/audit-trail/{{ . }}}
  {{- end }}
{{- end }}
