package example

import (
	"fmt"
	"time"

	"github.com/sluice-mesh/sluice/resources"
)

// Settings is `policy.filters.office-hours`.
type Settings struct {
	Match resources.Match `yaml:"match,omitempty" json:"match" doc:"which calls are kept to the hours; none: all" reload:"live"`
	From  TimeOfDay       `yaml:"from,omitempty" json:"from" doc:"when they may begin to run" default:"08:00" bounds:"00:00 to 23:59" reload:"live"`
	To    TimeOfDay       `yaml:"to,omitempty" json:"to" doc:"when they must end; before from: on the next day" default:"18:00" bounds:"00:00 to 23:59" reload:"live"`
	Zone  string          `yaml:"zone,omitempty" json:"zone" doc:"time zone of both, such as Asia/Shanghai" default:"UTC" reload:"live"`
}

// defaults returns the settings of a filter that is switched on and no more.
func defaults() any { return &Settings{From: 8 * 60, To: 18 * 60, Zone: "UTC"} }

// TimeOfDay is a time of day in minutes, written as in "22:00".
type TimeOfDay int

// String writes the time as config reads it.
func (t TimeOfDay) String() string { return fmt.Sprintf("%02d:%02d", int(t)/60, int(t)%60) }

// MarshalText implements encoding.TextMarshaler.
func (t TimeOfDay) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *TimeOfDay) UnmarshalText(b []byte) error {
	at, err := time.Parse("15:04", string(b))
	if err != nil {
		return fmt.Errorf("%q is not a time of day: write hours and minutes, such as 08:00 or 22:30", b)
	}
	*t = TimeOfDay(at.Hour()*60 + at.Minute())
	return nil
}
