{{/* One endpoint of a PodMonitor or ServiceMonitor; both have the same words. */}}
{{- define "lle.endpoint" -}}
{{- $client := .root.Values.web.client }}
- port: metrics
  path: /metrics
  scheme: {{ include "lle.scheme" .root }}
  interval: {{ .monitor.interval }}
  scrapeTimeout: {{ .monitor.scrapeTimeout }}
  {{- if $client.basicAuth }}
  basicAuth:
    username:
      name: {{ $client.existingSecret }}
      key: username
    password:
      name: {{ $client.existingSecret }}
      key: password
  {{- end }}
  {{- if .root.Values.web.config.tls }}
  tlsConfig:
    {{- if $client.ca }}
    ca:
      secret:
        name: {{ $client.existingSecret }}
        key: ca.crt
    serverName: {{ $client.serverName }}
    {{- else }}
    insecureSkipVerify: true
    {{- end }}
    {{- if $client.certificate }}
    cert:
      secret:
        name: {{ $client.existingSecret }}
        key: tls.crt
    keySecret:
      name: {{ $client.existingSecret }}
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
