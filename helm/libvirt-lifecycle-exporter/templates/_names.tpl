{{- define "lle.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 50 characters leave room for what is added to it. */}}
{{- define "lle.fullname" -}}
{{- $name := include "lle.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "lle.selector" -}}
app.kubernetes.io/name: {{ include "lle.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: exporter
{{- end }}

{{/* For all objects; selectors take fewer, since they must never change. */}}
{{- define "lle.labels" -}}
app.kubernetes.io/name: {{ include "lle.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (replace "+" "_" .Chart.Version) }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "lle.metadata" -}}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "lle.labels" . | nindent 2 }}
  app.kubernetes.io/component: exporter
{{- end }}

{{- define "lle.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- define "lle.serviceAccount" -}}
{{- default (ternary (include "lle.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "lle.scheme" -}}
{{- ternary "https" "http" .Values.web.config.tls }}
{{- end }}

{{/* Dashboards and rules go by the name of their file. */}}
{{- define "lle.filename" -}}
{{- printf "%s-%s" (include "lle.fullname" .root) (.path | base | splitList "." | first | trimPrefix "libvirt-") | trunc 63 | trimSuffix "-" }}
{{- end }}
