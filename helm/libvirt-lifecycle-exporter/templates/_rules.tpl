{{/* The rules without some alerts, and with labels for the others. */}}
{{- define "lle.rules" -}}
{{- $settings := .settings }}
{{- $groups := list }}
{{- range (fromYaml .text).groups }}
{{- $rules := list }}
{{- range .rules }}
{{- if .alert }}
{{- if not (has .alert $settings.disabled) }}
{{- $rules = append $rules (merge (dict "labels" (merge dict $settings.alertLabels (default dict .labels))) .) }}
{{- end }}
{{- else }}
{{- $rules = append $rules . }}
{{- end }}
{{- end }}
{{- if $rules }}
{{- $groups = append $groups (merge (dict "rules" $rules) .) }}
{{- end }}
{{- end }}
{{- dict "groups" $groups | toYaml }}
{{- end }}
