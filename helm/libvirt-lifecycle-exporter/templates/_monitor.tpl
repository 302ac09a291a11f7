{{- define "lle.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 "w" 604800000 "y" 31536000000 }}
{{- $sum := 0 }}
{{- range regexFindAll "[0-9]+[a-z]+" . -1 }}
{{- $sum = add $sum (mul (regexFind "[0-9]+" .) (get $units (regexFind "[a-z]+" .))) }}
{{- end }}
{{- $sum }}
{{- end }}

{{/* One endpoint of a PodMonitor or ServiceMonitor; both have the same words. */}}
{{- define "lle.endpoint" -}}
{{- $client := .root.Values.web.client }}
{{- if gt (include "lle.milliseconds" .monitor.scrapeTimeout | int64) (include "lle.milliseconds" .monitor.interval | int64) }}
{{- fail (printf "a scrape may take longer (%s) than there is between two (%s): the operator would ignore the monitor" .monitor.scrapeTimeout .monitor.interval) }}
{{- end }}
- port: metrics
  path: /metrics
  # A target label with the name of one of the exporter's labels (domain) must not rename it.
  honorLabels: true
  scheme: {{ include "lle.scheme" .root }}
  interval: {{ .monitor.interval | quote }}
  scrapeTimeout: {{ .monitor.scrapeTimeout | quote }}
  {{- if $client.basicAuth }}
  basicAuth:
    username:
      name: {{ $client.existingSecret | quote }}
      key: username
    password:
      name: {{ $client.existingSecret | quote }}
      key: password
  {{- end }}
  {{- if .root.Values.web.config.tls }}
  tlsConfig:
    {{- if $client.ca }}
    ca:
      secret:
        name: {{ $client.existingSecret | quote }}
        key: ca.crt
    serverName: {{ $client.serverName | quote }}
    {{- else }}
    insecureSkipVerify: true
    {{- end }}
    {{- if $client.certificate }}
    cert:
      secret:
        name: {{ $client.existingSecret | quote }}
        key: tls.crt
    keySecret:
      name: {{ $client.existingSecret | quote }}
      key: tls.key
    {{- end }}
  {{- end }}
  relabelings:
    # The alerts know it by this name.
    - targetLabel: job
      replacement: libvirt-lifecycle-exporter
    {{- if .monitor.byNode }}
    - sourceLabels: [__meta_kubernetes_pod_node_name]
      targetLabel: instance
    - sourceLabels: [__meta_kubernetes_pod_node_name]
      targetLabel: node
    - action: labeldrop
      regex: pod
    {{- end }}
    {{- with .monitor.relabelings }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .monitor.metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
