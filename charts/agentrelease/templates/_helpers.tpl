{{- define "agentrelease.name" -}}
{{- if contains "agentrelease" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-agentrelease" (.Release.Name | trunc 40 | trimSuffix "-") }}{{ end -}}
{{- end -}}

{{- define "agentrelease.selector" -}}
app.kubernetes.io/name: agentrelease-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "agentrelease.labels" -}}
{{ include "agentrelease.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* The operator's user name, as the API server and its admission policies see it. */}}
{{- define "agentrelease.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "agentrelease.name" . }}
{{- end -}}

{{- define "agentrelease.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end -}}

{{- define "agentrelease.namespaces" -}}
{{- .Values.namespaces | default (list .Release.Namespace) | join "," -}}
{{- end -}}

{{/* The file that names hooks and sinks; empty where there are none. */}}
{{- define "agentrelease.endpoints" -}}
{{- if or .Values.endpoints.hooks .Values.endpoints.sinks }}
{{- toYaml (dict "hooks" .Values.endpoints.hooks "sinks" .Values.endpoints.sinks) }}
{{- end }}
{{- end -}}
