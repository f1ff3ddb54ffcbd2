// Reads one custom resource per line, as JSON, and decodes it strictly into the type that its authors publish: an
// unknown or misplaced field, or a value of the wrong type, is an error. The custom resources' schemas are in no
// registry of schemas that the tests could ask; their Go types are in the module proxy, locked by go.sum.
package main

import (
	"bufio"
	"fmt"
	"os"

	postgresql "github.com/cloudnative-pg/cloudnative-pg/api/v1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

var kinds = map[object]func() any{
	{"gateway.networking.k8s.io/v1", "HTTPRoute"}:  func() any { return &gateway.HTTPRoute{} },
	{"monitoring.coreos.com/v1", "PodMonitor"}:     func() any { return &monitoring.PodMonitor{} },
	{"monitoring.coreos.com/v1", "PrometheusRule"}: func() any { return &monitoring.PrometheusRule{} },
	{"monitoring.coreos.com/v1", "ServiceMonitor"}: func() any { return &monitoring.ServiceMonitor{} },
	{"postgresql.cnpg.io/v1", "Cluster"}:           func() any { return &postgresql.Cluster{} },
	{"postgresql.cnpg.io/v1", "Pooler"}:            func() any { return &postgresql.Pooler{} },
}

func check(line []byte) error {
	var head object
	if err := yaml.Unmarshal(line, &head); err != nil {
		return err
	}
	empty, known := kinds[head]
	if !known {
		return fmt.Errorf("%s %s: no type known", head.APIVersion, head.Kind)
	}
	if err := yaml.UnmarshalStrict(line, empty()); err != nil {
		return fmt.Errorf("%s %s: %w", head.APIVersion, head.Kind, err)
	}
	return nil
}

func main() {
	failed := false
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		if err := check(lines.Bytes()); err != nil {
			fmt.Println(err)
			failed = true
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Println(err)
		failed = true
	}
	if failed {
		os.Exit(1)
	}
}
