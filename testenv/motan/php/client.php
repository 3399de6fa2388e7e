<?php
/*
 * A Motan client in PHP that does on the wire what motan-php 1.1.10 does, driven by lines of JSON; package testenv/motan
 * describes them and starts it as `php client.php JSON`.
 *
 * What it has in common with the original, and what an agent must therefore bear:
 *   - It connects to one address, its agent's, for 0.2 s at most, four times, and keeps that connection.
 *   - It waits 2 s for data unless a call says otherwise.
 *   - It reads the header, the size of the meta data, the meta data and the size of the body with one fread each, and
 *     takes what it gets for all of it: a frame whose head arrives in two packets is misread. Only bodies are read on.
 *   - A request has no proxy bit, serialization 6, and SERIALIZATION, requestIdFromClient and M_pp among its meta data,
 *     and a pair whose value is empty stays.
 *   - Each integer is an int64, each float a float64; an empty array is null; bytes are a string.
 *   - Several calls at once are written one after another before the first response is read, and responses are matched
 *     by request id, in whatever order they come.
 *   - After a timeout the connection is used on, and the late response is taken for the next call's: results carry
 *     "stray" then, which the original does not notice.
 */

declare(strict_types=1);

const CONNECT_SECONDS = 0.2;
const CONNECT_TRIES = 4;
const READ_SECONDS = 2.0;
const SIMPLE = 6;

function main(string $config): void
{
    $client = new Client(json_decode($config, true, 512, JSON_THROW_ON_ERROR));
    answer(0, []);
    while (($line = fgets(STDIN)) !== false) {
        // Numbers as text would lose nothing, but PHP's integers have 64 bits anyway.
        $batch = json_decode($line, true, 512, JSON_THROW_ON_ERROR);
        answer($batch['id'], $client->all($batch['calls']));
    }
}

function answer(int $id, array $results): void
{
    $flags = JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_PRESERVE_ZERO_FRACTION;
    fwrite(STDOUT, json_encode(['id' => $id, 'results' => $results], $flags) . "\n");
    fflush(STDOUT);
}

/** What went wrong on the client's own side; the original throws an \Exception with the text alone. */
final class Trouble extends \Exception
{
}

final class Client
{
    /** @var resource|null */
    private $stream = null;
    private int $last;

    public function __construct(private array $config)
    {
        $this->last = (int) (microtime(true) * 1000000) * 1000 + random_int(1, 999);
    }

    /** Makes calls at once: writes all requests, then reads as many responses. */
    public function all(array $calls): array
    {
        $results = $pending = [];
        foreach ($calls as $i => $call) {
            $id = ++$this->last;
            try {
                $this->send($id, $call);
                $pending[$id] = $i;
            } catch (Trouble $e) {
                $results[$i] = trouble($e);
            }
        }
        $troubles = [];
        for ($n = count($pending); $n > 0; $n--) {
            try {
                [$id, $result] = $this->receive();
            } catch (Trouble $e) {
                $troubles[] = $e;
                continue;
            }
            if (isset($pending[$id])) {
                $results[$pending[$id]] = $result;
                unset($pending[$id]);
            } elseif (count($calls) === 1) { // the original does not look at the id of a single call
                $results[0] = $result + ['stray' => true];
                $pending = [];
            } else {
                $troubles[] = new Trouble("response $id to nothing that was asked");
            }
        }
        foreach ($pending as $i) {
            $results[$i] = trouble(array_pop($troubles) ?? new Trouble('no response'));
        }
        ksort($results);
        return $results;
    }

    private function connect(): void
    {
        if ($this->stream !== null) {
            return;
        }
        $code = 0;
        $text = '';
        for ($try = 0; $try < CONNECT_TRIES; $try++) {
            $stream = @stream_socket_client('tcp://' . $this->config['registry']['address'], $code, $text, CONNECT_SECONDS);
            if ($stream !== false) {
                stream_set_read_buffer($stream, 8192);
                stream_set_write_buffer($stream, 8192);
                $this->stream = $stream;
                return;
            }
            usleep(10);
        }
        throw new Trouble("connect to {$this->config['registry']['address']}: $code $text");
    }

    private function send(int $id, array $call): void
    {
        $this->connect();
        $seconds = ($call['timeout'] ?? 0) > 0 ? $call['timeout'] / 1000 : READ_SECONDS;
        stream_set_timeout($this->stream, 0, (int) ($seconds * 1000000));
        $meta = $call['attachments'] ?? [];
        $meta['M_s'] = $this->config['application'];
        $meta['M_p'] = $call['service'];
        $meta['M_m'] = $call['method'];
        $meta['M_g'] = $call['group'];
        $meta['M_pp'] = $this->config['protocol'];
        $meta['requestIdFromClient'] = (string) $id;
        $meta['SERIALIZATION'] = 'simple';
        $lines = [];
        foreach ($meta as $k => $v) {
            $lines[] = "$k\n$v";
        }
        $head = implode("\n", $lines);
        $body = '';
        foreach ($call['args'] as $arg) {
            $body .= Simple::encode(untag($arg));
        }
        if ($call['args'] === []) {
            $body = Simple::encode(null); // as the original does
        }
        $this->write(pack('nCCCJN', 0xF1F1, 0, 1 << 3, SIMPLE << 3, $id, strlen($head)) . $head . pack('N', strlen($body)) . $body);
    }

    private function write(string $bytes): void
    {
        while ($bytes !== '') {
            $n = @fwrite($this->stream, $bytes);
            if ($n === false || $n === 0) {
                $this->drop();
                throw new Trouble('write failed');
            }
            $bytes = substr($bytes, $n);
        }
    }

    /** Reads a response: its request id and what it says. */
    private function receive(): array
    {
        if ($this->stream === null) {
            throw new Trouble('the connection is gone');
        }
        $head = unpack('nmagic/Ctype/Cstatus/Cserialization/Jid', $this->once(13, 'header'));
        if ($head['magic'] !== 0xF1F1) {
            $this->drop(); // the original goes on and fails later
            throw new Trouble(sprintf('magic number %04x', $head['magic']));
        }
        $size = unpack('N', $this->once(4, 'size of the meta data'))[1];
        $meta = [];
        if ($size > 0) {
            $lines = explode("\n", $this->once($size, 'meta data'));
            for ($i = 0; $i + 1 < count($lines); $i += 2) {
                $meta[$lines[$i]] = $lines[$i + 1];
            }
        }
        $size = unpack('N', $this->once(4, 'size of the body'))[1];
        $body = '';
        while (strlen($body) < $size) {
            $part = @fread($this->stream, $size - strlen($body));
            if ($part === false || $part === '') {
                throw $this->failed('body');
            }
            $body .= $part;
        }
        if (($head['type'] & 0x08) !== 0) {
            $body = zlib_decode($body);
        }
        return [$head['id'], $this->result($meta, $head['serialization'] >> 3, $body)];
    }

    private function result(array $meta, int $serialization, string $body): array
    {
        $result = ['attachments' => (object) $meta];
        if (isset($meta['M_e'])) {
            $e = json_decode($meta['M_e'], true);
            $result['error'] = ['code' => $e['errcode'] ?? 0, 'type' => $e['errtype'] ?? -1, 'message' => $e['errmsg'] ?? $meta['M_e']];
        } elseif ($body !== '' && $serialization !== SIMPLE) {
            $result['error'] = ['code' => 0, 'type' => -1, 'message' => "serialization $serialization"];
        } else {
            $result['value'] = $body === '' ? null : Simple::decode($body);
        }
        return $result;
    }

    /** Reads with one fread: what is missing then is an error here, and nonsense in the original. */
    private function once(int $n, string $what): string
    {
        $part = @fread($this->stream, $n);
        if ($part === false || $part === '') {
            throw $this->failed($what);
        }
        if (strlen($part) < $n) {
            $this->drop();
            throw new Trouble("split: $what has $n bytes, one read gave " . strlen($part));
        }
        return $part;
    }

    private function failed(string $what): Trouble
    {
        $meta = stream_get_meta_data($this->stream);
        if ($meta['timed_out']) {
            return new Trouble("Read $what timeout."); // the connection stays
        }
        $this->drop();
        return new Trouble("connection closed when reading $what");
    }

    private function drop(): void
    {
        fclose($this->stream);
        $this->stream = null;
    }
}

function trouble(Trouble $e): array
{
    return ['error' => ['code' => 0, 'type' => -1, 'message' => $e->getMessage()]];
}

/** The serialization "simple" with the types that PHP has; decode gives values with their types. */
final class Simple
{
    public static function encode(mixed $v): string
    {
        if ($v === null || $v === []) {
            return "\x00";
        }
        if (is_string($v)) {
            return "\x01" . self::text($v);
        }
        if (is_bool($v)) {
            return "\x05" . ($v ? "\x01" : "\x00");
        }
        if (is_int($v)) {
            return "\x09" . self::varint($v);
        }
        if (is_float($v)) { // a float without a fraction is an integer to the original
            return floor($v) == $v ? "\x09" . self::varint((int) $v) : "\x0b" . pack('E', $v);
        }
        $texts = array_filter($v, 'is_string') === $v;
        $out = '';
        if (array_is_list($v)) {
            foreach ($v as $e) {
                $out .= $texts ? self::text($e) : self::encode($e);
            }
            return ($texts ? "\x04" : "\x15") . self::text($out);
        }
        foreach ($v as $k => $e) {
            $out .= $texts ? self::text((string) $k) . self::text($e) : self::encode($k) . self::encode($e);
        }
        return ($texts ? "\x02" : "\x14") . self::text($out);
    }

    private static function text(string $s): string
    {
        return pack('N', strlen($s)) . $s;
    }

    /** Zigzag, then seven bits a byte, lowest first. */
    private static function varint(int $n): string
    {
        $n = ($n << 1) ^ ($n >> 63);
        $out = '';
        while (($n & ~0x7f) !== 0) {
            $out .= chr(($n & 0x7f) | 0x80);
            $n = ($n >> 7) & (PHP_INT_MAX >> 6);
        }
        return $out . chr($n);
    }

    public static function decode(string $body): mixed
    {
        $at = 0;
        return self::read($body, $at);
    }

    private static function read(string $b, int &$at): mixed
    {
        $tag = ord(self::take($b, $at, 1));
        switch ($tag) {
            case 0:
                return null;
            case 1: // JSON takes UTF-8 only
                $s = self::sized($b, $at);
                return preg_match('//u', $s) === 1 ? ['string' => $s] : ['bytes' => base64_encode($s)];
            case 2:
                $map = [];
                for ($all = self::sized($b, $at), $i = 0; $i < strlen($all);) {
                    $k = self::sized($all, $i);
                    $map[$k] = self::sized($all, $i);
                }
                return ['map' => (object) $map];
            case 3:
                return ['bytes' => base64_encode(self::sized($b, $at))];
            case 4:
                $list = [];
                for ($all = self::sized($b, $at), $i = 0; $i < strlen($all);) {
                    $list[] = self::sized($all, $i);
                }
                return ['strings' => $list];
            case 5:
                return ['bool' => ord(self::take($b, $at, 1)) === 1];
            case 6:
                return ['byte' => ord(self::take($b, $at, 1))];
            case 7:
                $n = unpack('n', self::take($b, $at, 2))[1];
                return ['int16' => $n >= 0x8000 ? $n - 0x10000 : $n];
            case 8:
                return ['int32' => self::zigzag($b, $at)];
            case 9:
                return ['int64' => self::zigzag($b, $at)];
            case 10:
                return ['float32' => unpack('G', self::take($b, $at, 4))[1]];
            case 11:
                return ['float64' => unpack('E', self::take($b, $at, 8))[1]];
            case 20:
                $pairs = [];
                for ($all = self::sized($b, $at), $i = 0; $i < strlen($all);) {
                    $k = self::read($all, $i);
                    $pairs[] = [$k, self::read($all, $i)];
                }
                return ['dict' => $pairs];
            case 21:
                $list = [];
                for ($all = self::sized($b, $at), $i = 0; $i < strlen($all);) {
                    $list[] = self::read($all, $i);
                }
                return ['list' => $list];
        }
        throw new Trouble("no type has the tag $tag");
    }

    private static function take(string $b, int &$at, int $n): string
    {
        if (strlen($b) - $at < $n) {
            throw new Trouble('the body is too short');
        }
        $at += $n;
        return substr($b, $at - $n, $n);
    }

    private static function sized(string $b, int &$at): string
    {
        return self::take($b, $at, unpack('N', self::take($b, $at, 4))[1]);
    }

    private static function zigzag(string $b, int &$at): int
    {
        for ($n = 0, $shift = 0; ; $shift += 7) {
            $c = ord(self::take($b, $at, 1));
            $n |= ($c & 0x7f) << $shift;
            if ($c < 0x80) {
                return (($n >> 1) & PHP_INT_MAX) ^ -($n & 1);
            }
        }
    }
}

/** A value with its type, as JSON has it, as PHP's own: which integer it is, PHP does not know. */
function untag(?array $tagged): mixed
{
    if ($tagged === null) {
        return null;
    }
    $v = reset($tagged);
    switch (key($tagged)) {
        case 'bytes':
            return base64_decode($v);
        case 'float32':
        case 'float64':
            return (float) $v;
        case 'list':
            return array_map('untag', $v);
        case 'dict':
            $out = [];
            foreach ($v as [$k, $e]) {
                $out[untag($k)] = untag($e);
            }
            return $out;
    }
    return $v;
}

main($argv[1]);
