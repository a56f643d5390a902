import java.util.ArrayList;
import java.util.List;
import org.apache.spark.rdd.RDD;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.plans.physical.UnknownPartitioning;
import org.apache.spark.sql.classic.SparkSession;
import org.apache.spark.sql.columnar.CachedBatch;
import org.apache.spark.sql.execution.LogicalRDD;
import org.apache.spark.sql.execution.columnar.CachedRDDBuilder;
import org.apache.spark.sql.execution.columnar.InMemoryRelation;
import scala.Option;
import scala.collection.immutable.Nil$;
import scala.collection.immutable.Seq;
import scala.jdk.javaapi.CollectionConverters;
import scala.math.Ordering;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;

/** Several leaves of the same columns as one, with few partitions: a statement is planned and generated for one table. */
public class Together {
  private static final ClassTag ROW = ClassTag$.MODULE$.apply(InternalRow.class);
  private static final ClassTag BATCH = ClassTag$.MODULE$.apply(CachedBatch.class);

  private final SparkSession session;

  public Together(Object session) {
    this.session = (SparkSession) session;
  }

  /** One leaf over the rows of several. */
  public Object rows(List leaves, int partitions) {
    List all = new ArrayList();
    for (int i = 0; i < leaves.size(); i++) {
      all.add(((LogicalRDD) leaves.get(i)).rdd());
    }
    return new LogicalRDD(((LogicalRDD) leaves.get(0)).output(), union(all, partitions, ROW),
        new UnknownPartitioning(0), (Seq) Nil$.MODULE$, false, Option.empty(), session, Option.empty(),
        Option.empty()).newInstance();
  }

  /** One relation over the columns of several. */
  public Object columns(List relations, int partitions) {
    InMemoryRelation first = (InMemoryRelation) relations.get(0);
    List all = new ArrayList();
    for (int i = 0; i < relations.size(); i++) {
      all.add(((InMemoryRelation) relations.get(i)).cacheBuilder().cachedColumnBuffers());
    }
    InMemoryRelation whole = first.copy(first.output(), new Joined(first.cacheBuilder(), union(all, partitions, BATCH)),
        (Seq) Nil$.MODULE$);
    whole.statsOfPlanToCache_$eq(first.statsOfPlanToCache());
    return whole.newInstance();
  }

  private RDD union(List rdds, int partitions, ClassTag tag) {
    RDD all = session.sparkContext().union(CollectionConverters.asScala(rdds).toSeq(), tag);
    return all.coalesce(partitions, false, Option.empty(), (Ordering) null);
  }

  /** What Spark's cache would build, there already. */
  private static class Joined extends CachedRDDBuilder {
    private final transient RDD buffers;

    Joined(CachedRDDBuilder like, RDD buffers) {
      super(like.serializer(), like.storageLevel(), like.cachedPlan(), Option.apply("segments"), like.logicalPlan());
      this.buffers = buffers;
    }

    public synchronized RDD cachedColumnBuffers() {
      return buffers;
    }

    public synchronized boolean isCachedColumnBuffersLoaded() {
      return false;
    }

    public synchronized void clearCache(boolean blocking) {}
  }
}
