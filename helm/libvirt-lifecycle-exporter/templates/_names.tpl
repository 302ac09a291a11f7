{{- define "lle.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 50 characters leave room for what is added to it; a release may have dots in its name, and a Service none. */}}
{{- define "lle.fullname" -}}
{{- $name := include "lle.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | replace "." "-" | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* Names are quoted wherever they stand: "123" and "true" are names, too. */}}
{{- define "lle.selector" -}}
{{- include "lle.selector-of" (dict "root" . "component" "exporter") }}
{{- end }}

{{- define "lle.selector-of" -}}
app.kubernetes.io/name: {{ include "lle.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* For all objects; selectors take fewer, since they must never change. Each label once: first ours, then `more`. */}}
{{- define "lle.labels" -}}
{{- $chart := .root.Chart }}
{{- $ours := include "lle.selector-of" . | fromYaml }}
{{- $_ := set $ours "app.kubernetes.io/version" $chart.AppVersion }}
{{- $_ := set $ours "app.kubernetes.io/managed-by" .root.Release.Service }}
{{- $_ := set $ours "helm.sh/chart" (printf "%s-%s" $chart.Name (replace "+" "_" $chart.Version)) }}
{{- merge $ours (default dict .more) (default dict .root.Values.commonLabels) | toYaml }}
{{- end }}

{{/* Of the object `name`; `labels` and `annotations` are its own. */}}
{{- define "lle.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "lle.labels" (dict "root" .root "component" "exporter" "more" .labels) | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
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
