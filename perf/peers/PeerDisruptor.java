import com.lmax.disruptor.AlertException;
import com.lmax.disruptor.BusySpinWaitStrategy;
import com.lmax.disruptor.InsufficientCapacityException;
import com.lmax.disruptor.RingBuffer;
import com.lmax.disruptor.Sequence;
import com.lmax.disruptor.SequenceBarrier;
import com.lmax.disruptor.WaitStrategy;
import com.lmax.disruptor.YieldingWaitStrategy;
import com.lmax.disruptor.dsl.ProducerType;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.concurrent.locks.LockSupport;

/**
 * The LMAX Disruptor through the work of bench.h: messages of 120 bytes of payload in 4,096 slots,
 * every word of each summed up. One process for a whole run, so that the virtual machine stays
 * warm: it starts three threads (the harness pins them by their names), says "ready", and answers
 * each line "SHAPE RUN NANOSECONDS" with one line of JSON. Between two requests its threads sleep.
 *
 * The consumer is what the library's BatchEventProcessor does: it takes all that the barrier says
 * is there and gives it back at once. It waits by busy spin, and by yielding where threads
 * outnumber CPUs.
 */
public final class PeerDisruptor {
    private static final int SLOTS = 4096;
    private static final int SENDER_SHIFT = 56;
    private static final int SENDS_A_LOOK = 64;
    private static final int HISTOGRAM_NS = 1 << 18;

    /** The payload, as perf/payload.h has it: number, time, words, their sum. */
    static final class Message {
        long number, time, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, sum;

        void fill(long n) {
            number = n;
            time = 0;
            w2 = n + 2;
            w3 = n + 3;
            w4 = n + 4;
            w5 = n + 5;
            w6 = n + 6;
            w7 = n + 7;
            w8 = n + 8;
            w9 = n + 9;
            w10 = n + 10;
            w11 = n + 11;
            w12 = n + 12;
            w13 = n + 13;
            sum = n + w2 + w3 + w4 + w5 + w6 + w7 + w8 + w9 + w10 + w11 + w12 + w13;
        }

        boolean whole() {
            return sum
                    == number + time + w2 + w3 + w4 + w5 + w6 + w7 + w8 + w9 + w10 + w11 + w12
                            + w13;
        }
    }

    /** A ring with its one consumer, and what that found. */
    static final class Lane {
        final RingBuffer<Message> ring;
        final Sequence consumed = new Sequence();
        final SequenceBarrier barrier;
        final boolean yields;
        final long[] received = new long[2];
        long wrong;
        long next; // to consume

        Lane(ProducerType producers, WaitStrategy wait, boolean yields) {
            ring = RingBuffer.create(producers, Message::new, SLOTS, wait);
            barrier = ring.newBarrier();
            ring.addGatingSequences(consumed);
            next = consumed.get() + 1;
            this.yields = yields;
        }

        void awaitRoom(int run) {
            while (!ring.hasAvailableCapacity(run)) {
                if (yields) {
                    Thread.yield();
                } else {
                    Thread.onSpinWait();
                }
            }
        }

        void send(int run, long number) {
            awaitRoom(run);
            if (run == 1) {
                final long at = ring.next();
                ring.get(at).fill(number);
                ring.publish(at);
                return;
            }
            final long last = ring.next(run);
            final long first = last - run + 1;
            for (int i = 0; i < run; i++) {
                ring.get(first + i).fill(number + i);
            }
            ring.publish(first, last);
        }

        /** For who also consumes, and so must never wait for room. */
        boolean trySend(long number) {
            try {
                final long at = ring.tryNext();
                ring.get(at).fill(number);
                ring.publish(at);
                return true;
            } catch (InsufficientCapacityException full) {
                return false;
            }
        }

        void take(Message message) {
            final int sender = (int) (message.number >>> SENDER_SHIFT) & 1;
            if (message.whole()
                    && message.number == ((long) sender << SENDER_SHIFT | received[sender])) {
                received[sender]++;
            } else {
                wrong++;
            }
        }

        /** Waits for something, takes all of it. */
        void takeBatch() throws Exception {
            final long available = barrier.waitFor(next);
            while (next <= available) {
                take(ring.get(next++));
            }
            consumed.set(available);
        }

        void takeBatches() throws Exception {
            try {
                for (;;) {
                    takeBatch();
                }
            } catch (AlertException end) {
                // The coordinator has seen that all is taken.
            }
        }

        boolean takeOne() {
            if (!ring.isPublished(next)) {
                return false;
            }
            take(ring.get(next));
            consumed.set(next++);
            return true;
        }
    }

    interface Job {
        void run() throws Exception;
    }

    /** A thread that sleeps until it has a job. */
    static final class Worker extends Thread {
        private volatile Job job;
        private volatile boolean begun; // and so has its name for the harness to find

        Worker(String name) {
            super(name);
            setDaemon(true);
            start();
            while (!begun) {
                Thread.yield();
            }
        }

        void begin(Job what) {
            job = what;
            LockSupport.unpark(this);
        }

        void await() {
            while (job != null) {
                LockSupport.parkNanos(20_000);
            }
        }

        @Override
        public void run() {
            begun = true;
            for (;;) {
                final Job mine = job;
                if (mine == null) {
                    LockSupport.park();
                    continue;
                }
                try {
                    mine.run();
                } catch (Exception failure) {
                    failure.printStackTrace();
                    System.exit(1);
                }
                job = null;
            }
        }
    }

    private final Worker producer = new Worker("peer-producer");
    private final Worker consumer = new Worker("peer-consumer");
    private final Worker second = new Worker("peer-second"); // on the consumer's CPU
    private final long[] sent = new long[2];

    private void produce(Lane lane, int sender, int run, long end) {
        long count = 0;
        do { // once at least, however late this thread got its CPU
            for (int i = 0; i < SENDS_A_LOOK; i++) {
                lane.send(run, (long) sender << SENDER_SHIFT | count);
                count += run;
            }
        } while (System.nanoTime() < end);
        sent[sender] = count;
    }

    private void produceAndConsume(Lane lane, long end) {
        long count = 0;
        while (System.nanoTime() < end) {
            for (int i = 0; i < SENDS_A_LOOK; i++) {
                if (lane.trySend(1L << SENDER_SHIFT | count)) {
                    count++;
                }
                if (lane.takeOne()) {
                    lane.takeOne();
                }
            }
        }
        sent[1] = count;
        // The other may wait for room for its last ones.
        while (producer.job != null || lane.consumed.get() < lane.ring.getCursor()) {
            lane.takeOne();
        }
    }

    private void ask(Lane there, Lane back, long end, int[] histogram) throws Exception {
        long count = 0;
        long before = System.nanoTime();
        do { // as in produce
            there.send(1, count++);
            back.takeBatch();
            final long after = System.nanoTime();
            histogram[(int) Math.min(after - before, HISTOGRAM_NS - 1)]++;
            before = after;
        } while (before < end);
        sent[0] = count;
    }

    private void answer(Lane there, Lane back) throws Exception {
        try {
            for (long answered = 0; ; answered++) {
                there.takeBatch();
                back.send(1, answered);
            }
        } catch (AlertException end) {
            // The asker has its last answer.
        }
    }

    private static long percentile(int[] histogram, double percent) {
        long all = 0;
        for (int count : histogram) {
            all += count;
        }
        long below = (long) Math.ceil(all * percent / 100);
        int ns = 0;
        for (; ns < histogram.length - 1 && (below -= histogram[ns]) > 0; ns++) {}
        return ns;
    }

    private static void awaitConsumed(Lane lane) {
        while (lane.consumed.get() < lane.ring.getCursor()) {
            LockSupport.parkNanos(20_000);
        }
    }

    private String stream(String shape, int run, long ns) {
        final boolean many = !shape.equals("spsc");
        final boolean yields = shape.equals("3on2");
        final Lane lane =
                new Lane(
                        many ? ProducerType.MULTI : ProducerType.SINGLE,
                        yields ? new YieldingWaitStrategy() : new BusySpinWaitStrategy(),
                        yields);
        final long start = System.nanoTime();
        final long end = start + ns;
        sent[1] = 0;
        if (shape.equals("2p")) {
            producer.begin(() -> produce(lane, 0, run, end));
            second.begin(() -> produceAndConsume(lane, end));
        } else {
            consumer.begin(lane::takeBatches);
            producer.begin(() -> produce(lane, 0, run, end));
            if (many) {
                second.begin(() -> produce(lane, 1, run, end));
            }
        }
        producer.await();
        second.await();
        awaitConsumed(lane);
        final long elapsed = System.nanoTime() - start;
        lane.barrier.alert();
        consumer.await();
        final long received = lane.received[0] + lane.received[1];
        return String.format(
                "{\"figure\": %.1f, \"p99\": 0, \"wrong\": %d, \"lost\": %d}",
                received * 1e9 / elapsed, lane.wrong, sent[0] + sent[1] - received);
    }

    private String roundTrip(long ns) {
        final Lane there = new Lane(ProducerType.SINGLE, new BusySpinWaitStrategy(), false);
        final Lane back = new Lane(ProducerType.SINGLE, new BusySpinWaitStrategy(), false);
        final int[] histogram = new int[HISTOGRAM_NS];
        final long end = System.nanoTime() + ns;
        consumer.begin(() -> answer(there, back));
        producer.begin(() -> ask(there, back, end, histogram));
        producer.await();
        there.barrier.alert();
        consumer.await();
        return String.format(
                "{\"figure\": %d.0, \"p99\": %d, \"wrong\": %d, \"lost\": %d}",
                percentile(histogram, 50),
                percentile(histogram, 99),
                there.wrong + back.wrong,
                2 * sent[0] - there.received[0] - back.received[0]);
    }

    public static void main(String[] arguments) throws Exception {
        final PeerDisruptor peer = new PeerDisruptor();
        final BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
        System.out.println("ready");
        for (String line; (line = requests.readLine()) != null; ) {
            final String[] words = line.split(" ");
            final int run = Integer.parseInt(words[1]);
            final long ns = Long.parseLong(words[2]);
            System.out.println(
                    words[0].equals("round_trip")
                            ? peer.roundTrip(ns)
                            : peer.stream(words[0], run, ns));
        }
    }
}
