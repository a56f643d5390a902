import java.util.Set;
import org.apache.spark.sql.catalyst.FunctionIdentifier;
import org.apache.spark.sql.catalyst.analysis.FunctionRegistryBase;
import org.apache.spark.sql.catalyst.expressions.Expression;
import org.apache.spark.sql.catalyst.expressions.ExpressionInfo;
import org.apache.spark.sql.catalyst.expressions.PlanExpression;
import org.apache.spark.sql.catalyst.plans.QueryPlan;
import org.apache.spark.sql.catalyst.plans.logical.View;
import scala.collection.Iterator;

/**
 * The parts of wall 2 that would cost a round trip a node or a function from Python.
 * Compiled when the engine starts, by the compiler that Spark itself brings for its generated code.
 */
public class SealedEngine {
  /** Takes every function whose name is not in `keep` out of a session's registry. */
  public void drop(FunctionRegistryBase registry, Set keep) {
    for (Iterator i = registry.listFunction().iterator(); i.hasNext();) {
      FunctionIdentifier function = (FunctionIdentifier) i.next();
      if (!keep.contains(function.funcName())) {
        registry.dropFunction(function);
      }
    }
  }

  /** The expression classes of the functions in a registry, one a line. */
  public String functionClasses(FunctionRegistryBase registry) {
    StringBuilder found = new StringBuilder();
    for (Iterator i = registry.listFunction().iterator(); i.hasNext();) {
      ExpressionInfo info = (ExpressionInfo) registry.lookupFunction((FunctionIdentifier) i.next()).get();
      found.append(info.getClassName()).append('\n');
    }
    return found.toString();
  }

  /** The classes of a plan, one a line. Does not look below a registered view: its making is the pipeline's affair. */
  public String planClasses(QueryPlan plan) {
    StringBuilder found = new StringBuilder();
    plan(plan, found);
    return found.toString();
  }

  private void plan(QueryPlan plan, StringBuilder found) {
    found.append(plan.getClass().getName()).append('\n');
    if (plan instanceof View) {
      found.append("view ").append(((View) plan).desc().identifier().table()).append('\n');
      return;
    }
    for (Iterator i = plan.children().iterator(); i.hasNext();) {
      plan((QueryPlan) i.next(), found);
    }
    for (Iterator i = plan.expressions().iterator(); i.hasNext();) {
      expression((Expression) i.next(), found);
    }
  }

  private void expression(Expression expression, StringBuilder found) {
    found.append(expression.getClass().getName()).append('\n');
    if (expression instanceof PlanExpression) {
      plan((QueryPlan) ((PlanExpression) expression).plan(), found);
    }
    for (Iterator i = expression.children().iterator(); i.hasNext();) {
      expression((Expression) i.next(), found);
    }
  }
}
