package sluice.testenv;

import com.alibaba.fastjson.JSONArray;
import com.alibaba.fastjson.JSONObject;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Arguments and results with their types, which JSON alone does not tell: {"int64": 5}. null is null. */
final class Values {
    private Values() {}

    static Object decode(Object json) {
        if (json == null) {
            return null;
        }
        Map.Entry<String, Object> one = ((JSONObject) json).entrySet().iterator().next();
        Object v = one.getValue();
        switch (one.getKey()) {
            case "string":
            case "bool":
                return v;
            case "byte":
                return ((Number) v).byteValue();
            case "int16":
                return ((Number) v).shortValue();
            case "int32":
                return ((Number) v).intValue();
            case "int64":
                return ((Number) v).longValue();
            case "float32":
                return ((Number) v).floatValue();
            case "float64":
                return ((Number) v).doubleValue();
            case "bytes":
                return Base64.getDecoder().decode((String) v);
            case "strings":
                return ((JSONArray) v).toJavaList(String.class);
            case "map":
                Map<String, String> map = new LinkedHashMap<>();
                ((JSONObject) v).forEach((k, e) -> map.put(k, (String) e));
                return map;
            case "list":
                List<Object> list = new ArrayList<>();
                ((JSONArray) v).forEach(e -> list.add(decode(e)));
                return list;
            case "dict":
                Map<Object, Object> dict = new LinkedHashMap<>();
                for (Object pair : (JSONArray) v) {
                    dict.put(decode(((JSONArray) pair).get(0)), decode(((JSONArray) pair).get(1)));
                }
                return dict;
            default:
                throw new IllegalArgumentException("no type " + one.getKey());
        }
    }

    static Object encode(Object v) {
        if (v == null) {
            return null;
        }
        if (v instanceof String) {
            return one("string", v);
        }
        if (v instanceof Boolean) {
            return one("bool", v);
        }
        if (v instanceof Byte) {
            return one("byte", (Byte) v & 0xff);
        }
        if (v instanceof Short) {
            return one("int16", v);
        }
        if (v instanceof Integer) {
            return one("int32", v);
        }
        if (v instanceof Long) {
            return one("int64", v);
        }
        if (v instanceof Float) {
            return one("float32", v);
        }
        if (v instanceof Double) {
            return one("float64", v);
        }
        if (v instanceof byte[]) {
            return one("bytes", Base64.getEncoder().encodeToString((byte[]) v));
        }
        if (v instanceof Map) {
            return encodeMap((Map<?, ?>) v);
        }
        if (v instanceof Collection) {
            return encodeList((Collection<?>) v);
        }
        throw new IllegalArgumentException("no type for " + v.getClass());
    }

    private static Object encodeMap(Map<?, ?> map) {
        JSONObject texts = new JSONObject(true);
        JSONArray pairs = new JSONArray();
        for (Map.Entry<?, ?> e : map.entrySet()) {
            if (e.getKey() instanceof String && e.getValue() instanceof String) {
                texts.put((String) e.getKey(), e.getValue());
            }
            JSONArray pair = new JSONArray();
            pair.add(encode(e.getKey()));
            pair.add(encode(e.getValue()));
            pairs.add(pair);
        }
        return !map.isEmpty() && texts.size() == map.size() ? one("map", texts) : one("dict", pairs);
    }

    private static Object encodeList(Collection<?> list) {
        JSONArray all = new JSONArray();
        boolean texts = !list.isEmpty();
        for (Object e : list) {
            texts &= e instanceof String;
        }
        for (Object e : list) {
            all.add(texts ? e : encode(e));
        }
        return one(texts ? "strings" : "list", all);
    }

    private static JSONObject one(String type, Object value) {
        JSONObject o = new JSONObject();
        o.put(type, value);
        return o;
    }
}
