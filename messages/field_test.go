package messages

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Every field of the struct is described, and no pointer of the table leads to another one's.
func TestEveryFieldOfAnInstanceIsDescribedOnce(t *testing.T) {
	a := AppInstance{Placement: &Placement{}, Resources: &Resources{}}
	at := map[any]string{}
	for _, f := range Fields() {
		require.Empty(t, at[f.At(&a)], f.Key)
		at[f.At(&a)] = f.Key
		require.NotEmpty(t, f.Doc, f.Key)
		if section, _ := f.Section(); section != "" {
			require.True(t, slices.ContainsFunc(Sections(), func(s Section) bool { return s.Name == section }), f.Key)
		}
		require.Contains(t, map[Kind][]reflect.Kind{
			KindText: {reflect.String}, KindPath: {reflect.String}, KindProgram: {reflect.String},
			KindDuration: {reflect.Int64}, KindInteger: {reflect.Int},
			KindNumber: {reflect.Float64}, KindBool: {reflect.Bool}, KindTexts: {reflect.Slice},
			KindNames: {reflect.Map}, KindWords: {reflect.String}, KindLimits: {reflect.String},
			KindBytes: {reflect.Int64},
		}[f.Kind], f.value(&a).Kind(), f.Key)
		if f.Default != nil {
			require.Equal(t, f.value(&a).Type(), reflect.TypeOf(f.Default), f.Key)
		}
		if f.NotBelow != "" {
			require.Less(t, slices.IndexFunc(fields, func(o Field) bool { return o.Key == f.NotBelow }),
				slices.IndexFunc(fields, func(o Field) bool { return o.Key == f.Key }))
		}
	}
	described := func(v reflect.Value, name string) {
		if name != "Secrets" { // it belongs to Env
			require.NotEmpty(t, at[v.Addr().Interface()], name)
		}
	}
	var section func(v reflect.Value, name string)
	section = func(v reflect.Value, name string) {
		for i := range v.NumField() {
			switch f, inner := v.Field(i), name+"."+v.Type().Field(i).Name; {
			case inner == "Health.Check":
				section(reflect.ValueOf(a.Health.Asks()).Elem(), inner)
			case f.Kind() == reflect.Struct:
				section(f, inner)
			default:
				described(f, inner)
			}
		}
	}
	v := reflect.ValueOf(&a).Elem()
	for i := range v.NumField() {
		part := reflect.Indirect(v.Field(i))
		if part.Kind() != reflect.Struct {
			described(part, v.Type().Field(i).Name)
			continue
		}
		section(part, v.Type().Field(i).Name)
	}
}

// word is a field that no instance has: it says in another way what DbName says.
func word(effect Effect) Field {
	return Field{Key: "stop.word", Kind: KindText, Effect: effect, Default: "please", Words: []string{"please", "now"},
		Doc: "said at the end",
		At:  func(a *AppInstance) any { return &a.DbName }}
}

func TestAFieldThatIsAddedToTheTableIsFoundByEveryLoop(t *testing.T) {
	more := append(table(Fields()), word(Applied))
	a := AppInstance{InstanceID: "a"}
	more.fill(&a)
	require.Equal(t, "please", a.DbName)
	require.NoError(t, errors.Join(table{word(Applied)}.wrong(&a)...))
	b := a
	b.DbName = "soon"
	require.EqualError(t, errors.Join(table{word(Applied)}.wrong(&b)...),
		`stop.word is "soon"; it must be please or now`)
	require.Contains(t, more.diff(&a, &b), FieldChange{Field: "stop.word", From: "please", To: "soon"})

	for effect, hash := range map[Effect]func(AppInstance,
		table) string{Respawns: AppInstance.specHash, Wished: AppInstance.wishHash} {
		more := append(table(Fields()), word(effect))
		require.Empty(t, more.since(effect, &a), "at its default it changes no hash")
		require.NotEqual(t, hash(b, nil), hash(b, more.since(effect, &b)))
		require.Empty(t, append(table(Fields()), word(Noted)).since(effect, &b))
	}
}

func TestADefaultFollowsTheFieldItMayNotBeBelow(t *testing.T) {
	p := RestartPolicy{Initial: 5 * time.Minute}.WithDefaults()
	require.Equal(t, 5*time.Minute, p.Max)
	require.Zero(t, p.Jitter, "something is said, and so none is meant")
	require.Equal(t, 0.2, RestartPolicy{}.WithDefaults().Jitter)
}

func TestNoDefaultIsShared(t *testing.T) {
	a, b := AppInstance{}.WithDefaults(), AppInstance{}.WithDefaults()
	a.Args[0] = "changed"
	require.NotEqual(t, a.Args, b.Args)
	Fields()[0].Key = "changed"
	require.Equal(t, "id", Fields()[0].Key)
}

func TestADifferenceKnowsItsEffect(t *testing.T) {
	for field, effect := range map[string]Effect{"env.A": Respawns, "env_file": Noted, "args": Respawns,
		"restart.mode": Wished, "health.path": Applied, "labels.x": Noted} {
		require.Equal(t, effect, FieldChange{Field: field}.Effect(), field)
	}
}

func TestWhatFewSayOfTheirChecksTakesNoRoomWhereItIsNotSaid(t *testing.T) {
	require.Nil(t, AppInstance{}.WithDefaults().Health.Check)
	require.Nil(t, AppInstance{Health: HealthPolicy{Check: &HealthCheck{Method: "GET"}}}.WithDefaults().Health.Check,
		"it says the default")
	a := AppInstance{Health: HealthPolicy{Check: &HealthCheck{Method: "HEAD"}}}.WithDefaults()
	require.Equal(t, HealthCheck{Method: "HEAD", Status: "200", Host: "localhost", Headers: map[string]string{},
		Scheme: SchemeHTTP, Command: []string{},
		OnFailure: FailureRestart}, *a.Health.Check)
	require.Equal(t, "GET", AppInstance{}.Health.Asks().Method)

	b := a.Clone()
	f := fields.field("health.headers")
	_ = f.Writable(&b)
	require.NotSame(t, a.Health.Check, b.Health.Check, "who writes has one of his own")
	require.True(t, a.Same(&b))
	a.Share(&b)
	require.Same(t, a.Health.Check, b.Health.Check)
}

func TestWhatAHeaderHoldsIsShownNowhere(t *testing.T) {
	with := func(v string) AppInstance {
		return AppInstance{Health: HealthPolicy{Check: &HealthCheck{
			Headers: map[string]string{"Authorization": v}}}}.WithDefaults()
	}
	require.Equal(t, []FieldChange{{Field: "health.headers.Authorization", From: Masked, To: Masked}},
		Diff(with("Bearer one"), with("Bearer two")))
	require.Equal(t, []string{"Bearer one", "one"}, with("Bearer one").SecretValues())
	require.Empty(t, AppInstance{Health: HealthPolicy{
		Check: &HealthCheck{Headers: map[string]string{"Accept": "text/html"}}}}.SecretValues())
}

func TestStatusesAreAcceptedOneByOneAndInRanges(t *testing.T) {
	c := HealthCheck{Status: "204 300-302"}
	for status, accepted := range map[int]bool{200: false, 204: true, 299: false, 300: true, 301: true, 302: true,
		303: false} {
		require.Equal(t, accepted, c.Accepts(status), status)
	}
}
