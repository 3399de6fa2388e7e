package mysql

import (
	"strings"

	"github.com/sluice-mesh/sluice/protocols/sql"
)

// A stored function, or one that was loaded into the server, may do to a session whatever a procedure may: take user locks
// and assign variables. Servers do not report all of that. So a statement that calls something that no server brings along
// by itself ties its session, which is decided once for each digest.

// foreign returns the name of the first function in a statement that is not the server's own; "" when there is none.
// The text has no comments.
func foreign(text []byte) string {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\'' || c == '"':
			i = closing(text, i)
		case c == '(':
			if name := foreignBefore(text, i); name != "" {
				return name
			}
		}
	}
	return ""
}

// closing returns where the literal ends that begins at i.
func closing(text []byte, i int) int {
	quote := text[i]
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case quote:
			return i
		}
	}
	return i
}

// foreignBefore returns the name in front of the parenthesis at i, if it is that of a function that is not known.
func foreignBefore(text []byte, i int) string {
	rest, name, quoted := lastName(text[:i])
	if name == "" {
		return ""
	}
	if len(rest) > 0 && rest[len(rest)-1] == '.' {
		_, schema, _ := lastName(rest[:len(rest)-1])
		before, _, _ := lastName(rest[:max(0, len(rest)-1-len(schema))])
		if into(lastWord(before)) || into(lastWord(rest[:max(0, len(rest)-1-len(schema))])) {
			return "" // the columns of a table
		}
		return schema + "." + name
	}
	switch lastWord(rest) {
	case "into", "insert", "replace", "ignore", "with", "recursive", "as", "table", "update", "window":
		return "" // the columns of a table, a query with a name
	}
	if !quoted && builtin[name] {
		return ""
	}
	return name
}

func into(word string) bool {
	return word == "into" || word == "ignore" || word == "replace" || word == "insert"
}

// lastName cuts the name off that text ends with, in small letters.
func lastName(text []byte) (rest []byte, name string, quoted bool) {
	end := len(text)
	for end > 0 && text[end-1] == ' ' {
		end--
	}
	if end > 0 && text[end-1] == '`' {
		at := end - 1
		for at--; at > 0 && text[at] != '`'; at-- {
		}
		return text[:max(at, 0)], strings.ToLower(string(text[max(at, 0)+1 : end-1])), true
	}
	at := end
	for at > 0 && nameByte(text[at-1]) {
		at--
	}
	return text[:at], strings.ToLower(string(text[at:end])), false
}

func lastWord(text []byte) string {
	_, word, _ := lastName(text)
	return word
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}

// callsOf says what foreign function statements of a digest call. text is the digest's, whole is a statement of it.
func callsOf(st *sql.Statement, text string, whole []byte) string {
	switch st.Verb {
	case sql.VerbSelect, sql.VerbInsert, sql.VerbReplace, sql.VerbUpdate, sql.VerbDelete, sql.VerbValues, sql.VerbDo, sql.VerbSet:
	default:
		return ""
	}
	if len(text) < maxDigestText {
		whole = []byte(text)
	}
	return foreign(whole)
}

// maxDigestText is how long the texts of digests become at most; a text as long as that may have been cut.
const maxDigestText = 2 << 10

// builtin are the functions that servers bring along, and the other words that stand in front of parentheses.
var builtin = func() map[string]bool {
	m := map[string]bool{}
	for _, list := range []string{wordsBefore, functionsOfNumbers, functionsOfTexts, functionsOfTimes, otherFunctions} {
		for _, w := range strings.Fields(list) {
			m[w] = true
		}
	}
	return m
}()

const (
	wordsBefore = `in values value and or xor not on using from join where when then else case select having by limit exists any some
all key index primary unique over partition interval columns against match binary cross inner left right outer natural straight_join
union except intersect minus distinct distinctrow as of between like rlike regexp div mod is set returning for order group row with
rollup convert cast char varchar decimal numeric dec float double real bit varbinary nchar signed unsigned int integer bigint date
datetime time timestamp year enum json_table within if lateral end escape sounds collate duplicate update offset set default`

	functionsOfNumbers = `abs acos asin atan atan2 ceil ceiling conv cos cot crc32 crc32c degrees exp floor format greatest least ln log log10 log2 oct pi
pow power radians rand round sign sin sqrt tan truncate avg bit_and bit_or bit_xor count group_concat max min std stddev stddev_pop
stddev_samp sum var_pop var_samp variance json_arrayagg json_objectagg cume_dist dense_rank first_value lag last_value lead median
nth_value ntile percent_rank percentile_cont percentile_disc rank row_number bit_count any_value grouping`

	functionsOfTexts = `ascii bin bit_length char_length character_length chr concat concat_ws elt export_set field find_in_set from_base64 hex insert
instr lcase length lengthb load_file locate lower lpad ltrim make_set mid octet_length ord position quote regexp_instr regexp_replace
regexp_substr regexp_like repeat replace reverse rpad rtrim soundex space sformat strcmp substr substring substring_index to_base64
to_char trim ucase unhex upper natural_sort_key updatexml extractvalue weight_string compress uncompress uncompressed_length
column_add column_check column_create column_delete column_exists column_get column_json column_list json_array json_array_append
json_array_insert json_compact json_contains json_contains_path json_depth json_detailed json_equals json_exists json_extract
json_insert json_keys json_length json_loose json_merge json_merge_patch json_merge_preserve json_normalize json_object json_overlaps
json_pretty json_query json_quote json_remove json_replace json_schema_valid json_search json_set json_storage_free json_storage_size
json_type json_unquote json_valid json_value aes_decrypt aes_encrypt decode decode_histogram des_decrypt des_encrypt encode encrypt
kdf md5 old_password password random_bytes sha sha1 sha2 statement_digest statement_digest_text validate_password_strength`

	functionsOfTimes = `adddate addtime add_months convert_tz curdate current_date current_time current_timestamp curtime date_add date_format date_sub
datediff day dayname dayofmonth dayofweek dayofyear extract from_days from_unixtime get_format hour last_day localtime localtimestamp
makedate maketime microsecond minute month monthname now period_add period_diff quarter sec_to_time second str_to_date subdate
subtime sysdate time_format time_to_sec timediff timestampadd timestampdiff to_days to_seconds unix_timestamp utc_date utc_time
utc_timestamp week weekday weekofyear yearweek`

	otherFunctions = `coalesce ifnull nullif isnull nvl nvl2 decode_oracle charset coercibility collation connection_id current_role current_user database
schema found_rows last_insert_id row_count session_user system_user user version benchmark sleep get_lock release_lock release_all_locks
is_free_lock is_used_lock master_pos_wait source_pos_wait master_gtid_wait wait_for_executed_gtid_set gtid_subset gtid_subtract
binlog_gtid_pos inet_aton inet_ntoa inet6_aton inet6_ntoa is_ipv4 is_ipv6 is_ipv4_compat is_ipv4_mapped is_uuid bin_to_uuid uuid_to_bin
uuid uuid_short sys_guid name_const nextval lastval setval rownum interval area asbinary astext aswkb aswkt boundary buffer centroid
contains convexhull crosses dimension disjoint distance endpoint envelope equals exteriorring geomcollfromtext geomcollfromwkb
geometrycollection geometrycollectionfromtext geometrycollectionfromwkb geometryfromtext geometryfromwkb geometryn geometrytype
geomfromtext geomfromwkb glength interiorringn intersects isclosed isempty isring issimple linefromtext linefromwkb linestring
linestringfromtext linestringfromwkb mbrcontains mbrcoveredby mbrcovers mbrdisjoint mbrequal mbrequals mbrintersects mbroverlaps
mbrtouches mbrwithin mlinefromtext mlinefromwkb mpointfromtext mpointfromwkb mpolyfromtext mpolyfromwkb multilinestring
multilinestringfromtext multilinestringfromwkb multipoint multipointfromtext multipointfromwkb multipolygon multipolygonfromtext
multipolygonfromwkb numgeometries numinteriorrings numpoints overlaps point pointfromtext pointfromwkb pointn pointonsurface polyfromtext
polyfromwkb polygon polygonfromtext polygonfromwkb srid st_area st_asbinary st_asgeojson st_astext st_aswkb st_aswkt st_boundary st_buffer
st_centroid st_collect st_contains st_convexhull st_crosses st_difference st_dimension st_disjoint st_distance st_distance_sphere st_endpoint
st_envelope st_equals st_exteriorring st_geohash st_geomcollfromtext st_geomcollfromwkb st_geometrycollectionfromtext
st_geometrycollectionfromwkb st_geometryfromtext st_geometryfromwkb st_geometryn st_geometrytype st_geomfromgeojson st_geomfromtext
st_geomfromwkb st_interiorringn st_intersection st_intersects st_isclosed st_isempty st_isring st_issimple st_isvalid st_latfromgeohash
st_latitude st_length st_linefromtext st_linefromwkb st_linestringfromtext st_linestringfromwkb st_longfromgeohash st_longitude
st_makeenvelope st_numgeometries st_numinteriorrings st_numpoints st_overlaps st_pointfromgeohash st_pointfromtext st_pointfromwkb st_pointn
st_pointonsurface st_polyfromtext st_polyfromwkb st_polygonfromtext st_polygonfromwkb st_relate st_simplify st_srid st_startpoint
st_swapxy st_symdifference st_touches st_transform st_union st_validate st_within st_x st_y startpoint touches within x y`
)
