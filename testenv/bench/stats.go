package main

import "math"

// estimate is a mean and its 95 % interval.
type estimate struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

func exactly(v float64) estimate { return estimate{v, v, v} }

// ratioOf returns the geometric mean of a[i]/b[i] with the interval of Student's t on the logarithms. Pairs in which one
// side is not positive are left out; with fewer than two pairs the interval is infinite.
func ratioOf(a, b []float64) estimate {
	var logs []float64
	for i := range min(len(a), len(b)) {
		if a[i] > 0 && b[i] > 0 {
			logs = append(logs, math.Log(a[i]/b[i]))
		}
	}
	e := meanOf(logs)
	return estimate{math.Exp(e.Value), math.Exp(e.Low), math.Exp(e.High)}
}

// meanOf returns the mean with the interval of Student's t.
func meanOf(x []float64) estimate {
	n := float64(len(x))
	if n == 0 {
		return exactly(math.NaN())
	}
	var sum, squares float64
	for _, v := range x {
		sum += v
	}
	mean := sum / n
	if n == 1 {
		return estimate{mean, math.Inf(-1), math.Inf(1)}
	}
	for _, v := range x {
		squares += (v - mean) * (v - mean)
	}
	half := student(len(x)-1) * math.Sqrt(squares/(n-1)/n)
	return estimate{mean, mean - half, mean + half}
}

// student returns the two-sided 95 % point of Student's t with df degrees of freedom (any table of it).
func student(df int) float64 {
	table := []float64{
		12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
		2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
		2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
	}
	if df <= len(table) {
		return table[df-1]
	}
	return 1.96 + 2.4/float64(df) // within 0.002 of the table beyond 30
}
